"""Who a client is, and what that allows: users, certificates, access rules."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from routeq_broker.acl import CLIENT
from routeq_broker.errors import AccessFileBroken, NotAdmitted

if TYPE_CHECKING:
    from pathlib import Path

    from routeq_broker.acl import Acl, Rights
    from routeq_broker.users import Users

_BAD_PASSWORD, _NOT_AUTHORIZED = 4, 5


class Doorkeeper:
    """Decides at CONNECT.

    Args:
        users: who there is; None: everybody is let in, unless a certificate names them.
        acl: what each may do; None: everything.
        anonymous: let in who gives neither name nor certificate; default: if there are no users.
    """

    def __init__(
        self,
        users: Users | None = None,
        acl: Acl | None = None,
        *,
        anonymous: bool | None = None,
    ) -> None:
        self._users = users
        self._acl = acl
        self.anonymous = users is None if anonymous is None else anonymous
        self._binds = acl is not None and acl.speaks_of_clients

    def admit(self, name: str | None, password: bytes | None, certified: str | None) -> str | None:
        """The user that a client is.

        Args:
            name: of the CONNECT.
            password: of the CONNECT.
            certified: the common name of a client certificate that was verified.

        Raises:
            NotAdmitted: it is none of ours; holds the CONNACK's code (MQTT 3.1.1, 3.2.2.3).
        """
        if name is not None and self._users is not None:
            if not self._users.check(name, password or b""):
                raise NotAdmitted(f"wrong name or password, user={name!r}", _BAD_PASSWORD)
            return name
        if certified is not None:
            return certified
        if not self.anonymous:
            raise NotAdmitted("neither user name nor certificate", _NOT_AUTHORIZED)
        return None  # a name that nobody has checked gives no rights

    def rights(self, user: str | None, client_id: str) -> Rights | None:
        """What a client may do; None: everything."""
        return None if self._acl is None else self._acl.rights(user, client_id)

    def may_be(self, client_id: str, rights: Rights | None) -> bool:
        """Whether a client may use a client identifier, with the messages that wait for it."""
        return rights is None or not self._binds or rights.may_write(CLIENT + client_id)


def tls_context(cert: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later; with `client_ca` clients must show a certificate of that authority.

    Raises:
        AccessFileBroken: a file cannot be read, or is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=_no_passphrase)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError, ValueError) as error:
        raise AccessFileBroken(
            f"TLS with cert={cert} key={key or cert} client_ca={client_ca}: {error}"
        ) from None
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted; a server must be able to read it without asking")


def common_name(certificate: object) -> str | None:
    """The common name of a peer's certificate, as `ssl.SSLSocket.getpeercert` gives it."""
    subject = certificate.get("subject", ()) if isinstance(certificate, dict) else ()
    return next((str(v) for part in subject for key, v in part if key == "commonName"), None)
