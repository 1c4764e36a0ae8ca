"""Why a pod is not where it should be, from all places a person would look; the story tells it."""

from __future__ import annotations

from collections.abc import Iterator

from pydra_testbed.objects import Api, KubeObject, Selection, name_of, namespace_of


async def why(api: Api, pod: KubeObject) -> str:
    """Conditions, container states and the pod's last warning, each once; never empty."""
    events = await api.list("events", Selection(namespace_of(pod)))
    warnings = [
        str(e.get("message", ""))
        for e in events.items
        if e.get("type") == "Warning" and e.get("involvedObject", {}).get("name") == name_of(pod)
    ]
    texts = dict.fromkeys([*_conditions(pod), *_containers(pod), *warnings[-1:]])
    return "; ".join(text for text in texts if text) or "the cluster says nothing of it yet"


def _conditions(pod: KubeObject) -> Iterator[str]:
    for condition in pod.get("status", {}).get("conditions", []):
        yield str(condition.get("message", ""))


def _containers(pod: KubeObject) -> Iterator[str]:
    for status in pod.get("status", {}).get("containerStatuses", []):
        for state in status.get("state", {}).values():
            parts = [state.get("reason"), state.get("message")]
            if state.get("exitCode"):
                parts.append(f"exit code {state['exitCode']}")
            said = ": ".join(str(part) for part in parts if part)
            if said:
                yield f"container {status['name']}: {said}"
