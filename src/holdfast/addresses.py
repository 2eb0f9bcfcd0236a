"""Addresses that are never called, whatever a file says: link-local ones and cloud metadata.

Who may write a URL could otherwise read the credentials of the machine that we run on (OWASP,
server-side request forgery).
"""

from ipaddress import IPv6Address, ip_address, ip_network

# AWS and most others, fe80 on any link, AWS over IPv6, Alibaba, Oracle, Azure
_NEVER = tuple(
    ip_network(one)
    for one in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::/32",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "168.63.129.16/32",
    )
)
_NAMES = {"metadata", "metadata.google.internal", "instance-data", "metadata.azure.internal"}
_NAT64 = ip_network("64:ff9b::/96")


def check_host(host: str) -> None:
    """Refuse a name or a literal address that is never called; no name is looked up.

    Raises:
        ValueError: says why.
    """
    name = host.rstrip(".").lower()
    if name in _NAMES or name.endswith((".ec2.internal.metadata", ".metadata.google.internal")):
        raise ValueError(f"{host} is the cloud's metadata service, which is never called")
    try:
        literal = ip_address(name.partition("%")[0])
    except ValueError:
        return
    check_address(str(literal))


def check_address(address: str) -> None:
    """Refuse an address that is never called, in whatever form it comes.

    Raises:
        ValueError: says why.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        hidden = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            hidden = ip_address(int(found) & 0xFFFFFFFF)  # type: ignore[assignment]  # below 2**32
        if hidden:
            found = hidden
    if found.is_multicast or found.is_unspecified or any(found in one for one in _NEVER):
        raise ValueError(f"{address} is link-local or a metadata address, which is never called")
