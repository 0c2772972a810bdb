"""A real mail server: Debian's dovecot as a plain process, with a configuration, users and certificate of its own."""

from __future__ import annotations

import contextlib
import grp
import imaplib
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import trustme

from openclaw_nats.port_holder import free_port
from tests.support.processes import Process, wait_until

USER, PASSWORD = "me@example.org", 'a-pass word"\\1'


class Dovecot(Process):
    """On 127.0.0.1, by `imaps` and without TLS; `ca` is the certificate that has to be trusted."""

    def __init__(self) -> None:
        # Not in pytest's folder, whose name is too long for Unix sockets, and which nobody else may look into.
        folder = self.folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.tls_port, self.plain_port = free_port(), free_port()
        self.ca = folder / "ca.pem"
        self.mail = folder / "mail"
        for one in (self.mail, folder / "run"):
            one.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        root = os.geteuid() == 0
        ours = pwd.getpwuid(os.geteuid())
        group = grp.getgrgid(ours.pw_gid).gr_name
        inner, login, of = ("dovecot", "dovenull", "nobody") if root else (ours.pw_name,) * 3
        owner = pwd.getpwnam(of)
        (folder / "dovecot.conf").write_text(
            f"""
base_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
default_internal_user = {inner}
default_internal_group = {"dovecot" if root else group}
default_login_user = {login}
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.pem
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
mailbox_idle_check_interval = 1 s
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = static
  args = uid={owner.pw_uid} gid={owner.pw_gid} home={self.mail}/%u allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.plain_port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""
        )
        if root:
            os.chown(self.mail, owner.pw_uid, owner.pw_gid)
            folder.chmod(0o711)
            (folder / "users").chmod(0o644)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "dovecot"
        with (self.folder / "dovecot.out").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "-F", "-c", str(self.folder / "dovecot.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def answers() -> bool:
            with contextlib.suppress(imaplib.IMAP4.error, ssl.SSLError), self.client():
                return True
            return False

        wait_until(answers, 20, "dovecot")

    def kill(self) -> None:
        """kill -9, with all its processes."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        (self.folder / "run" / "master.pid").unlink(missing_ok=True)

    def close(self) -> None:
        """Make sure that it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def client(self, mailbox: str = "") -> Iterator[imaplib.IMAP4_SSL]:
        """Somebody who is signed in."""
        context = ssl.create_default_context(cafile=str(self.ca))
        with imaplib.IMAP4_SSL("127.0.0.1", self.tls_port, ssl_context=context, timeout=20) as one:
            one.login(USER, PASSWORD)
            if mailbox:
                one.select(mailbox, readonly=True)
            yield one

    def deliver(self, *mails: bytes) -> None:
        """Put mails into the inbox; each until the server has said that it has it."""
        with self.client() as one:
            for mail in mails:
                status, said = one.append("INBOX", "", imaplib.Time2Internaldate(time.time()), mail)
                assert status == "OK", said

    def seen(self) -> list[bool]:
        """Whether each mail of the inbox was read."""
        with self.client("INBOX") as one:
            _, found = one.fetch("1:*", "(FLAGS)")
            return [b"\\Seen" in flags for flags in found if isinstance(flags, bytes)]

    def number_again(self) -> None:
        """Its mails get other numbers, as after a restore. It must not run."""
        for path in self.mail.rglob("dovecot*"):
            if path.is_file():
                path.unlink()


def mail(number: int | str, **more: str) -> bytes:
    """A small mail."""
    head = {
        "From": "Ann <ann@example.org>",
        "To": "me@example.org",
        "Subject": f"Mail {number}",
        "Message-ID": f"<{number}@example.org>",
        "Date": "Fri, 27 Nov 2026 10:00:00 +0100",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    lines = [f"{name}: {value}" for name, value in head.items()]
    return "\r\n".join([*lines, "", f"This is mail {number}.", ""]).encode()
