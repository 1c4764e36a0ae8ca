"""A tiny device plugin as a process of its own, steered by lines on its standard input.

Run as `python deviceplugin.py SOCKET RESOURCE`: it serves v1beta1 on SOCKET and prints one JSON line for each thing that
happens (`heard`, `ended`, `registered`), so that a test reads what a real plugin would see. Commands: `register SOCKET
[VERSION]`, `list JSON`, `answer METHOD JSON`, `fail METHOD`, `heal METHOD`, `silent`, `end`, `rebind`, `quit`. `watched SOCKET` also
serves the registration of plugins_registry there. Run as `python deviceplugin.py --alone RESOURCE ID…` it registers by itself.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import grpc
import grpc.aio
from google.protobuf.json_format import MessageToDict, ParseDict

from pydra_core._proto import deviceplugin_v1beta1_pb2 as messages
from pydra_core._proto import pluginregistration_v1_pb2 as registration

REQUESTS = {
    "GetDevicePluginOptions": messages.Empty,
    "GetPreferredAllocation": messages.PreferredAllocationRequest,
    "Allocate": messages.AllocateRequest,
    "PreStartContainer": messages.PreStartContainerRequest,
}
ANSWERS = {
    "GetDevicePluginOptions": messages.DevicePluginOptions,
    "GetPreferredAllocation": messages.PreferredAllocationResponse,
    "Allocate": messages.AllocateResponse,
    "PreStartContainer": messages.PreStartContainerResponse,
}


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Plugin:
    """State of the process."""

    def __init__(self, socket, resource):
        self.socket = Path(socket)
        self.resource = resource
        self.devices = messages.ListAndWatchResponse()
        self.changed = asyncio.Event()
        self.ended = False
        self.silent = False
        self.bound = 0
        self.answers = {}
        self.failures = set()
        self.has_cdi = True
        self.options = {"pre_start_required": True, "get_preferred_allocation_available": True}

    async def serve(self):
        self.server = grpc.aio.server()
        handlers = {name: self.unary(name) for name in REQUESTS}
        handlers["ListAndWatch"] = grpc.unary_stream_rpc_method_handler(
            self.list_and_watch,
            request_deserializer=messages.Empty.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        service = grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", handlers)
        self.server.add_generic_rpc_handlers((service,))
        # On a name of its own: a server that stops takes its file away at some time, and it may be the next one's by then.
        self.bound += 1
        behind = self.socket.with_name(f".{self.bound}-{self.socket.name}")
        self.server.add_insecure_port(f"unix:{behind}")
        await self.server.start()
        behind.rename(self.socket)

    def unary(self, name):
        async def answer(request, context):
            left = context.time_remaining()
            body = MessageToDict(request, preserving_proto_field_name=True)
            say(heard=name, request=body, deadline=left)
            if name in self.failures:
                await context.abort(grpc.StatusCode.INTERNAL, f"probe: injected {name} error")
            return ParseDict(self.answer(name, request), ANSWERS[name]())

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=REQUESTS[name].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def answer(self, name, request):
        if name in self.answers:
            return self.answers[name]
        if name == "GetDevicePluginOptions":
            return self.options
        if name == "GetPreferredAllocation":
            (asked,) = request.container_requests
            chosen = sorted(asked.available_deviceIDs, reverse=True)[: asked.allocation_size]
            return {"container_responses": [{"deviceIDs": chosen}]}
        if name == "Allocate":
            return {"container_responses": [self.given(request)]}
        return {}

    def given(self, request):
        (asked,) = request.container_requests
        names = sorted(asked.devices_ids, reverse=True)
        return {
            "envs": {"DP_PROBE": ",".join(names)},
            "mounts": [
                {"container_path": "/probe-mount", "host_path": "/etc/cdi", "read_only": True}
            ],
            "devices": [
                {"container_path": "/dev/probe0", "host_path": "/dev/null", "permissions": "rw"}
            ],
            "annotations": {"probe.example.com/devs": "+".join(names)},
            "cdi_devices": [{"name": f"example.com/card={name}"} for name in names if self.has_cdi],
        }

    async def list_and_watch(self, _request, context):
        left = context.time_remaining()
        say(heard="ListAndWatch", request={}, deadline=left)
        self.ended = False
        # Not in a `finally`: a stream that is cut while it sends leaves this generator where it is.
        context.add_done_callback(lambda _context: say(ended="ListAndWatch"))
        while not self.ended:
            self.changed.clear()
            if not self.silent:
                yield self.devices
            await self.changed.wait()

    async def register(self, socket, version="v1beta1", endpoint="", resource=""):
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            call = channel.unary_unary(
                "/v1beta1.Registration/Register",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=messages.Empty.FromString,
            )
            request = messages.RegisterRequest(
                version=version,
                endpoint=endpoint or self.socket.name,
                resource_name=resource or self.resource,
            )
            try:
                await call(request)
            except grpc.aio.AioRpcError as error:
                say(registered=False, code=error.code().name, error=error.details())
            else:
                say(registered=True)

    async def serve_registration(self, socket):
        info = registration.PluginInfo(
            type="DevicePlugin",
            name=self.resource,
            endpoint=str(self.socket),
            supported_versions=["v1beta1"],
        )

        async def get_info(_request, _context):
            return info

        async def notify(request, _context):
            say(registered=request.plugin_registered, error=request.error)
            return registration.RegistrationStatusResponse()

        def method(handler, kind):
            return grpc.unary_unary_rpc_method_handler(
                handler,
                request_deserializer=kind.FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )

        self.watched = grpc.aio.server()
        handlers = {
            "GetInfo": method(get_info, registration.InfoRequest),
            "NotifyRegistrationStatus": method(notify, registration.RegistrationStatus),
        }
        service = grpc.method_handlers_generic_handler("pluginregistration.Registration", handlers)
        self.watched.add_generic_rpc_handlers((service,))
        self.watched.add_insecure_port(f"unix:{socket}")
        await self.watched.start()

    async def obey(self, line):
        word, _, rest = line.strip().partition(" ")
        if word == "register":
            await self.register(**json.loads(rest))
        elif word == "list":
            self.devices = ParseDict({"devices": json.loads(rest)}, messages.ListAndWatchResponse())
            self.changed.set()
        elif word == "answer":
            name, _, body = rest.partition(" ")
            self.answers[name] = json.loads(body)
        elif word == "fail":
            self.failures.add(rest)
        elif word == "heal":
            self.failures.discard(rest)
        elif word == "silent":
            self.silent = True
        elif word == "end":
            self.ended = True
            self.changed.set()
        elif word == "rebind":
            await self.server.stop(None)
            await self.serve()
        elif word == "watched":
            await self.serve_registration(rest)
        say(done=word)


async def alone(resource, *names):
    """Serve and register as a plugin does that nobody steers."""
    folder = Path(os.environ["KUBELET_ROOT"]) / "device-plugins"
    plugin = Plugin(folder / "alone.sock", resource)
    plugin.has_cdi = False
    devices = [{"ID": name, "health": "Healthy"} for name in names]
    ParseDict({"devices": devices}, plugin.devices)
    await plugin.serve()
    await plugin.register(str(folder / "kubelet.sock"))
    await plugin.server.wait_for_termination()


async def main():
    plugin = Plugin(sys.argv[1], sys.argv[2])
    await plugin.serve()
    say(serving=sys.argv[1])
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := (await reader.readline()).decode():
        await plugin.obey(line)
    await plugin.server.stop(None)


if __name__ == "__main__":
    asyncio.run(alone(*sys.argv[2:]) if sys.argv[1] == "--alone" else main())
