"""Kubernetes' libraries beside quantities and versions: named formats, addresses, URLs, and texts."""

from __future__ import annotations

import pytest

from pydra_testbed.cel import CelEvaluationError, compile_selector, device_view

VIEW = device_view("x.example.org", {"name": "d", "attributes": {"t": {"string": "Ab,cD"}}})
T = 'device.attributes["x.example.org"].t'


def holds(expression):
    """The verdict, which metering must share."""
    selector = compile_selector(expression)
    verdict = selector.matches(VIEW)
    assert selector.measure(VIEW).result is verdict
    return verdict


FORMATS = {
    "dns1123Label": ("a-1", "-a"),
    "dns1123Subdomain": ("a.b-c", "a..b"),
    "dns1035Label": ("a1", "1a"),
    "dns1123LabelPrefix": ("a-", "A-"),
    "dns1123SubdomainPrefix": ("a.b-", "a_b-"),
    "dns1035LabelPrefix": ("a-", "1-"),
    "qualifiedName": ("a.io/B_c", "a_b/c"),
    "labelValue": ("", "-"),
    "uri": ("https://a.io/b?c=d", "a b"),
    "uuid": ("0d1e2f30-1111-2222-3333-445566778899", "0d1e2f30"),
    "byte": ("YQ==", "Y"),
    "date": ("2026-02-28", "2026-02-30"),
    "datetime": ("2026-02-28T01:02:03Z", "2026-02-28 25:00"),
}


@pytest.mark.parametrize(("name", "good", "bad"), [(n, *texts) for n, texts in FORMATS.items()])
def test_a_format_has_nothing_against_what_is_in_it(name, good, bad):
    assert holds(f'!format.{name}().validate("{good}").hasValue()')
    assert holds(f'format.{name}().validate("{bad}").value().size() == 1')
    assert holds(f'format.named("{name}").hasValue()')


def test_a_format_nobody_knows_is_none_and_a_long_label_has_a_problem():
    assert not holds('format.named("dns9").hasValue()')
    assert holds(f'format.dns1123Label().validate("{"a" * 64}").hasValue()')


@pytest.mark.parametrize(
    "expression",
    [
        'ip("10.0.0.1").family() == 4 && ip("::1").family() == 6',
        'ip("127.0.0.1").isLoopback() && ip("0.0.0.0").isUnspecified()',
        'ip("169.254.1.1").isLinkLocalUnicast() && ip("224.0.0.1").isLinkLocalMulticast()',
        'ip("8.8.8.8").isGlobalUnicast() && !ip("255.255.255.255").isGlobalUnicast()',
        'isIP("fe80::1") && !isIP("1.2.3") && !isIP("::ffff:1.2.3.4") && !isIP("fe80::1%eth0")',
        'ip.isCanonical("::1") && !ip.isCanonical("0:0::1")',
        'cidr("10.1.2.3/8").masked() == cidr("10.0.0.0/8") && cidr("10.1.2.3/8").prefixLength() == 8',
        'cidr("10.1.2.3/8").ip() == ip("10.1.2.3") && string(ip("10.1.2.3")) == "10.1.2.3"',
        'cidr("10.0.0.0/8").containsCIDR(cidr("10.9.0.0/16")) && !isCIDR("10.0.0.0")',
        'cidr("10.0.0.0/8").containsIP(ip("10.1.1.1")) && !isCIDR("10.0.0.0/08")',
        'url("https://u@h.io:81/a b?k=1&k=2").getHost() == "h.io:81"',
        'url("https://h.io:81/p").getPort() == "81" && url("https://h.io/p").getPort() == ""',
        'url("https://[::1]:8/x y").getHostname() == "::1"',
        'url("https://h/x?k=1&k=2").getQuery() == {"k": ["1", "2"]}',
        'url("https://h/a b").getEscapedPath() == "/a%20b" && url("/p").getScheme() == ""',
        'isURL("https://h/") && !isURL("h") && !isURL("")',
        f'{T}.indexOf("c", 2) == 3 && {T}.substring(1, 3) == "b," && {T}.split(",").size() == 2',
        f'{T}.lowerAscii() == "ab,cd" && {T}.replace(",", "") == "AbcD" && {T}.charAt(0) == "A"',
        "[3, 1, 2].sort() == [1, 2, 3] && [1, 2, 2].distinct() == [1, 2] && [[1], [2]].flatten() == [1, 2]",
        "[3, 1].sortBy(x, x) == [1, 3] && [1, 2].reverse() == [2, 1] && [1, 2, 3].slice(1, 2) == [2]",
        "sets.contains([1, 2], [2]) && sets.intersects([1], [1]) && sets.equivalent([1], [1, 1])",
        '{"a": 1}.transformMap(k, v, v + 1) == {"a": 2} && [5].transformList(i, v, i + v) == [5]',
        '[?optional.of(1), ?optional.none()] == [1] && {?"a": optional.none()} == {}',
        '{"a": {"b": 2}}[?"a"][?"b"].orValue(0) == 2 && !{"a": 1}[?"z"].hasValue()',
        'duration("90s") + duration("30s") == duration("2m") && timestamp("2026-01-01T00:00:00Z").getFullYear() == 2026',
        'timestamp("2026-01-01T00:00:00Z") - timestamp("2025-12-31T23:59:00Z") == duration("60s")',
        "7 / -2 == -3 && -7 % 3 == -1 && 1.0 / 0.0 > 1.0 && 3u - 1u == 2u && bytes('a') == b'a'",
    ],
)
def test_what_the_libraries_say_holds_whether_metered_or_not(expression):
    assert holds(expression)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ('ip("1.2.3.400").family() == 4', "IPv4 field has value >255"),
        ('ip("1.2.3").family() == 4', "IPv4 address too short"),
        ('cidr("10.0.0.0").prefixLength() == 8', "no '/'"),
        ('url("h").getHost() == ""', "invalid URI for request"),
        (f'{T}.charAt(9) == ""', "index out of range: 9"),
        ("9223372036854775807 + dyn(1) == 0", "integer overflow"),
        ("0u - dyn(1u) == 0u", "unsigned integer overflow"),
        ("[1].map(x, x / dyn(0)).size() == 1", "division by zero"),
        ('-dyn("a") == 1', "no such overload"),
        ("dyn(1) in dyn(2)", "no such overload"),
        ("dyn(5).all(x, x)", "got 'types.Int', expected iterable type"),
        ("dyn(5).all(k, v, v)", "unsupported comprehension range type"),
        ("dyn([1])['a'] == 1", "unsupported index type"),
    ],
)
def test_what_fails_says_why(expression, text):
    with pytest.raises(CelEvaluationError) as caught:
        compile_selector(expression).matches(VIEW)
    assert text in str(caught.value)


def test_a_tolerant_version_may_be_short_but_not_with_a_pre_release():
    assert holds('isSemver("v1.2", true) && isSemver("01.2.3", true) && !isSemver("1.2")')
    assert holds('!isSemver("1.2-rc", true) && !isSemver("1-2+b", true)')
