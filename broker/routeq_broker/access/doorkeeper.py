"""Who a client is, and what that allows: users, certificates, access rules."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from routeq_broker.access.acl import CLIENT
from routeq_broker.errors import AccessFileBroken, NotAdmitted
from routeq_broker.protocol import reasons
from routeq_broker.text import shown

if TYPE_CHECKING:
    from pathlib import Path

    from routeq_broker.access.acl import Acl, Rights
    from routeq_broker.access.users import Users


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
        self.replace(users, acl, anonymous=anonymous)

    def replace(self, users: Users | None, acl: Acl | None, *, anonymous: bool | None) -> None:
        """Decide by these from now on; the arguments are those of the class."""
        self._users = users
        self._acl = acl
        self.anonymous = users is None if anonymous is None else anonymous
        self._binds = acl is not None and acl.speaks_of_clients

    def must_check(self, name: str | None, password: bytes | None) -> bool:
        """Whether `admit` will hash a password, which is work for a thread."""
        if name is None or self._users is None:
            return False
        return not self._users.remembers(name, password or b"")

    def admit(self, name: str | None, password: bytes | None, certified: str | None) -> str | None:
        """The user that a client is.

        Args:
            name: of the CONNECT.
            password: of the CONNECT.
            certified: the common name of a client certificate that was verified.

        Raises:
            NotAdmitted: the client is not admitted; holds the CONNACK's reason.
        """
        if name is not None and self._users is not None:
            given = password or b""
            if not (self._users.remembers(name, given) or self._users.check(name, given)):
                code = reasons.BAD_USER_NAME_OR_PASSWORD
                raise NotAdmitted(f"wrong name or password, user={shown(name)}", code)
            return name
        if certified is not None:
            return certified
        if not self.anonymous:
            raise NotAdmitted("neither user name nor certificate", reasons.NOT_AUTHORIZED)
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
    load_certificates(context, cert, key, client_ca)
    return context


def load_certificates(
    context: ssl.SSLContext, cert: Path, key: Path | None, client_ca: Path | None
) -> None:
    """Read the files of `tls_context` (again): connections from now on use them.

    Raises:
        AccessFileBroken: a file cannot be read, or is no certificate; the old ones stay in use.
    """
    try:
        context.load_cert_chain(cert, key, password=_no_passphrase)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError, ValueError) as error:
        raise AccessFileBroken(
            f"TLS with cert={cert} key={key or cert} client_ca={client_ca}: {error}"
        ) from None


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted; a server must be able to read it without asking")


def common_name(certificate: object) -> str | None:
    """The common name of a peer's certificate, as `ssl.SSLSocket.getpeercert` gives it."""
    subject = certificate.get("subject", ()) if isinstance(certificate, dict) else ()
    return next((str(v) for part in subject for key, v in part if key == "commonName"), None)
