"""IP addresses and CIDRs as Kubernetes' CEL library reads them: no leading zeros, zones or IPv4 in IPv6."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from pydra_testbed.cel.values import CidrMessage, IpMessage

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface

NO_OVERLOAD = "no such overload"
_HIGHEST_OCTET = 255
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def _parse_ip(text: str) -> Address:
    if "%" in text:
        raise ValueError(f'IP address "{text}" with zone value is not allowed')
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(
            f'IP Address "{text}" parse error during conversion from string: '
            f'ParseAddr("{text}"): {_complaint(text)}'
        ) from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return address


def _complaint(text: str) -> str:
    octets = text.split(".")
    if len(octets) > 1 and all(octet.isdigit() for octet in octets):
        if any(len(octet) > 1 and octet.startswith("0") for octet in octets):
            return "IPv4 field has octet with leading zero"
        if any(int(octet) > _HIGHEST_OCTET for octet in octets):
            return f"IPv4 field has value >{_HIGHEST_OCTET}"
        return "IPv4 address too short" if len(octets) < 4 else "IPv4 address too long"  # noqa: PLR2004 -- octets of IPv4
    return "unable to parse IP"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(NO_OVERLOAD)


def ip(text: Any) -> Any:
    """`ip(string)`."""
    return IpMessage(text=str(_parse_ip(_text(text))))


def is_ip(text: Any) -> bool:
    """`isIP(string)`."""
    return _parses(_parse_ip, _text(text))


def is_canonical(text: Any) -> bool:
    """`ip.isCanonical(string)`: spelled as it would be printed."""
    return bool(str(_parse_ip(_text(text))) == text)


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _address(value: Any) -> Address:
    if isinstance(value, IpMessage):
        return ipaddress.ip_address(value.text)
    raise TypeError(NO_OVERLOAD)


def _address_or_text(value: Any) -> Address:
    return _parse_ip(value) if isinstance(value, str) else _address(value)


def family(value: Any) -> int:
    """4 or 6."""
    return _address(value).version


def is_unspecified(value: Any) -> bool:
    """All zeros."""
    return _address(value).is_unspecified


def is_loopback(value: Any) -> bool:
    """127.0.0.0/8 or ::1."""
    return _address(value).is_loopback


def is_link_local_multicast(value: Any) -> bool:
    """224.0.0.0/24 or ff02::/16."""
    address = _address(value)
    return any(address in network for network in _LOCAL_MULTICAST)


def is_link_local_unicast(value: Any) -> bool:
    """169.254.0.0/16 or fe80::/10."""
    return _address(value).is_link_local


def is_global_unicast(value: Any) -> bool:
    """Anything that is none of the special kinds; private addresses count as global."""
    address = _address(value)
    special = (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
    )
    return not special and address != _BROADCAST


def _parse_cidr(text: str) -> Network:
    address, slash, length = text.partition("/")
    digits = length.isascii() and length.isdigit()
    if not slash or not digits or (len(length) > 1 and length.startswith("0")):
        raise ValueError(
            f"network address parse error during conversion from string: netip.ParsePrefix(\"{text}\"): no '/'"
            if not slash
            else f"network address parse error during conversion from string: "
            f'netip.ParsePrefix("{text}"): bad bits after slash: "{length}"'
        )
    try:
        _parse_ip(address)
        return ipaddress.ip_interface(text)
    except ValueError as problem:
        raise ValueError(
            f"network address parse error during conversion from string: {problem}"
        ) from problem


def _cidr_message(network: Network) -> Any:
    return CidrMessage(text=network.with_prefixlen)


def cidr(text: Any) -> Any:
    """`cidr(string)`."""
    return _cidr_message(_parse_cidr(_text(text)))


def is_cidr(text: Any) -> bool:
    """`isCIDR(string)`."""
    return _parses(_parse_cidr, _text(text))


def _network(value: Any) -> Network:
    if isinstance(value, CidrMessage):
        return ipaddress.ip_interface(value.text)
    raise TypeError(NO_OVERLOAD)


def contains_ip(value: Any, address: Any) -> bool:
    """`containsIP(ip)`, also of a text."""
    return _address_or_text(address) in _network(value).network


def contains_cidr(value: Any, other: Any) -> bool:
    """`containsCIDR(cidr)`, also of a text."""
    outer = _network(value).network
    inner = (_parse_cidr(other) if isinstance(other, str) else _network(other)).network
    return (
        outer.version == inner.version
        and outer.prefixlen <= inner.prefixlen
        and inner.network_address in outer
    )


def ip_of(value: Any) -> Any:
    """`cidr.ip()`: the address as written, host bits included."""
    return IpMessage(text=str(_network(value).ip))


def masked(value: Any) -> Any:
    """`cidr.masked()`: without host bits."""
    return CidrMessage(text=str(_network(value).network))


def prefix_length(value: Any) -> int:
    """`cidr.prefixLength()`."""
    return _network(value).network.prefixlen


def text_of(value: Any) -> str:
    """`string(ip)` and `string(cidr)`."""
    if isinstance(value, IpMessage | CidrMessage):
        return str(value.text)
    raise TypeError(NO_OVERLOAD)
