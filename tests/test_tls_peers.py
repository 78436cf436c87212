#!/usr/bin/env python3
"""libplait-tls with others at the other end: the server is the sample tls-echo,
with openssl s_client, curl, gnutls-cli and Python as clients; the client is
tests/tls/ask, with openssl s_server, Python, nginx and haproxy as servers; and
haproxy stands in front of tls-echo.  What is not installed is skipped, and named.

Each certificate of make-certificates is shown to each of them.  What both ends
say is written into a table, $O/check/tls-peers.md.

The last line is "N passed, N failed".
"""

import os
import queue
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
import unittests  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, os.environ.get("O", "build"))
CERTIFICATES = os.path.join(BUILD, "certificates")
BACKENDS = ("epoll", "select")
DEADLINE = 30.0  # seconds; far more than anything takes
NAME = "poetry.example"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")

# What this end is told, by the certificate that the other end has.
GOOD = ("good", "rsa", "chain")
BAD = {
    "wildcard": "hostname mismatch",
    "partial": "hostname mismatch",
    "ip": "hostname mismatch",
    "wrong-name": "hostname mismatch",
    "common-name": "hostname mismatch",
    "expired": "certificate has expired",
    "early": "certificate is not yet valid",
    "self-signed": "self-signed certificate",
    "wrong-authority": "unable to get local issuer certificate",
    "no-chain": "unable to get local issuer certificate",
    "client-only": "unsuitable certificate purpose",
}
# What those who still look at the subject take for good.
BY_SUBJECT = "common-name"
# A server that is run here cannot have these, as its own OpenSSL refuses them
# at the level 2 that this one demands, too.
WEAK = {"weak-key": "EE certificate key too weak",
        "weak-hash": "CA signature digest algorithm too weak"}


def certificate(name):
    return os.path.join(CERTIFICATES, f"{name}.pem")


def key(name):
    return os.path.join(CERTIFICATES, f"{name}.key")


AUTHORITY = certificate("authority")
told = {}  # (program, certificate) -> what both ends say


def needs(command):
    return unittest.skipUnless(command and (os.path.isabs(command) or
                                            shutil.which(command)),
                               f"{command} is not installed")


class Process:
    """A program that runs, with the lines that it prints."""

    def __init__(self, *command, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("PLAIT_")}
        env.update(more.pop("env", {}))
        self.command = command
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, cwd=TOP, env=env,
                                      **more)
        self.lines = queue.Queue()
        self.seen = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.popen.stdout:
            self.lines.put(line.decode(errors="replace").rstrip())
        self.lines.put(None)

    def line(self, pattern):
        """The next line in which the pattern is found, as a match."""
        while True:
            try:
                line = self.lines.get(timeout=DEADLINE)
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"{' '.join(self.command)}: no line with "
                                     f"{pattern!r} in {self.seen}")
            self.seen.append(line)
            m = re.search(pattern, line)
            if m:
                return m

    def say(self, text):
        self.popen.stdin.write(text.encode())
        self.popen.stdin.flush()

    def rest(self):
        """All that it prints until it ends by itself."""
        self.popen.stdin.close()
        while (line := self.lines.get(timeout=DEADLINE)) is not None:
            self.seen.append(line)
        self.popen.wait(DEADLINE)
        return "\n".join(self.seen)

    def end(self):
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            self.popen.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for pipe in self.popen.stdin, self.popen.stdout:
            try:
                pipe.close()
            except BrokenPipeError:
                pass


class Peers(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def path(self, name, text=None):
        path = os.path.join(self.directory.name, name)
        if text is not None:
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        return path

    def run_process(self, *command, **more):
        p = Process(*map(str, command), **more)
        self.addCleanup(p.end)
        return p

    def echo(self, name="good", *options, backend="epoll"):
        """A tls-echo that runs, with its port."""
        p = self.run_process(f"{BUILD}/samples/tls-echo", "--port", 0, "--iface",
                             "127.0.0.1", "--certificate", certificate(name),
                             "--key", key(name), *options,
                             env={"PLAIT_REACTOR": backend})
        p.port = p.line(r"Echoing on port (\d+)")[1]
        return p

    def ask(self, port, *options, name=NAME, authority=AUTHORITY, backend="epoll"):
        """All that tests/tls/ask says."""
        return self.run_process(f"{BUILD}/tests/tls/ask", port, name, authority,
                                *options, env={"PLAIT_REACTOR": backend}).rest()

    def s_client(self, server, *options):
        return self.run_process("openssl", "s_client", "-connect",
                                f"127.0.0.1:{server.port}", "-CAfile", AUTHORITY,
                                "-servername", NAME, "-verify_hostname", NAME,
                                "-verify_return_error", "-ign_eof", *options)

    def tell(self, program, name, theirs, ours):
        told[program, name] = (theirs, ours)


class SClient(Peers):
    """tls-echo, and openssl s_client."""

    def echoes(self, server, *options):
        """What the client says, when a line has come back."""
        client = self.s_client(server, "-quiet", *options)
        client.say("a line\n")
        client.line("^a line$")
        client.end()
        return server.line("^TLS.*")[0]

    def test_a_line_comes_back_on_each_backend(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                self.assertEqual(self.echoes(self.echo(backend=backend)),
                                 "TLSv1.3, TLS_AES_256_GCM_SHA384, no protocol")

    def test_tls_1_2_is_spoken_with_authenticated_ciphers_only(self):
        server = self.echo()
        self.assertIn("TLSv1.2, ECDHE-ECDSA-",
                      self.echoes(server, "-tls1_2"))
        for cipher in "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305":
            self.assertIn(cipher, self.echoes(server, "-tls1_2", "-cipher", cipher))
        for cipher in "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA":
            with self.subTest(cipher=cipher):
                said = self.s_client(server, "-tls1_2", "-cipher",
                                     f"{cipher}:@SECLEVEL=0").rest()
                self.assertIn("alert handshake failure", said)
                server.line("Refused: TLSHandshakeError: no shared cipher")

    def test_older_versions_are_refused(self):
        server = self.echo()
        for version in "-tls1", "-tls1_1":
            with self.subTest(version=version):
                said = self.s_client(server, version, "-cipher",
                                     "ALL:@SECLEVEL=0").rest()
                self.assertIn("alert protocol version", said)
                server.line("Refused: TLSHandshakeError: unsupported protocol")

    def test_rsa_key_exchange_is_refused(self):
        server = self.echo("rsa")
        said = self.s_client(server, "-tls1_2", "-cipher",
                             "AES128-GCM-SHA256:@SECLEVEL=0").rest()
        self.assertIn("alert handshake failure", said)
        self.assertIn("ECDHE-RSA-", self.echoes(server, "-tls1_2"))

    def test_sessions_are_resumed(self):
        server = self.echo()
        client = self.s_client(server, "-tls1_2", "-reconnect")
        for _ in range(5):
            client.line("^Reused, TLSv1.2")
        client.end()
        for _ in range(5):
            server.line("^TLSv1.2.*, resumed")

    def test_a_session_of_tls_1_3_is_resumed_and_early_data_is_not_taken(self):
        server, session = self.echo(), self.path("session")
        client = self.s_client(server, "-sess_out", session)
        client.say("a line\n")
        client.line("^a line$")
        client.end()
        early = self.path("early", "too early\n")
        client = self.s_client(server, "-sess_in", session, "-early_data", early)
        client.line("^Reused, TLSv1.3")
        client.line("Early data was (not sent|rejected)")
        client.say("a line\n")
        client.line("^a line$")
        client.end()
        server.line("^TLSv1.3.*, resumed")
        self.assertNotIn("too early", client.seen)

    def test_servers_with_the_same_ticket_keys_share_sessions(self):
        paths = self.path("keys"), self.path("more-keys"), self.path("other-keys")
        for path, text in zip(paths, (b"a", b"ba", b"b")):
            with open(path, "wb") as f:
                f.write(b"".join(80 * bytes([byte]) for byte in text))
        servers = [self.echo("good", "--ticket-keys", path) for path in paths]
        for version in "-tls1_2", "-tls1_3":
            with self.subTest(version=version):
                session = self.path("session")
                self.assertNotIn("resumed", self.echoes(servers[0], version,
                                                        "-sess_out", session))
                for server in servers[0], servers[1]:
                    self.assertIn("resumed", self.echoes(server, version,
                                                         "-sess_in", session))
                self.assertNotIn("resumed", self.echoes(servers[2], version,
                                                        "-sess_in", session))

    def test_a_client_cannot_renegotiate(self):
        server = self.echo()
        client = self.s_client(server, "-tls1_2", "-no_ign_eof")
        client.line("Verify return code: 0")
        client.say("R\n")
        client.line("no renegotiation")

    def test_protocols_are_agreed_on(self):
        server = self.echo("good", "--alpn", "echo,discard")
        client = self.s_client(server, "-alpn", "h2,discard,echo")
        client.line("ALPN protocol: echo")
        client.end()
        server.line("^TLSv1.3, .*, echo$")
        client = self.s_client(server)
        client.line("No ALPN negotiated")
        client.end()
        server.line("^TLSv1.3, .*, no protocol$")

    def test_a_client_with_other_protocols_is_refused(self):
        server = self.echo("good", "--alpn", "echo")
        self.assertIn("alert no application protocol",
                      self.s_client(server, "-alpn", "h2,http/1.1").rest())
        server.line("Refused: TLSHandshakeError: no application protocol")

    def client(self, server, name):
        return self.s_client(server, "-cert", certificate(name), "-key", key(name))

    def test_a_client_must_show_a_certificate_if_the_server_says_so(self):
        server = self.echo("good", "--clients", AUTHORITY)
        self.assertIn("alert certificate required", self.s_client(server).rest())
        server.line("Refused: TLSHandshakeError: peer did not return a certificate")
        client = self.client(server, "client")
        client.line("^Verify return code: 0")
        server.line("^TLSv1.3, .*, known$")
        for name, ours, theirs in (
                ("client-expired", "certificate has expired",
                 "alert certificate expired"),
                ("client-wrong-authority", "unable to get local issuer certificate",
                 "alert unknown ca"),
                ("good", "unsuitable certificate purpose",
                 "alert unsupported certificate")):
            with self.subTest(name=name):
                self.assertIn(theirs, self.client(server, name).rest())
                server.line(f"Refused: TLSVerifyError: {ours}")
                self.tell("s_client shows", name, theirs, ours)

    def test_a_client_that_hangs_up_without_a_word_is_told(self):
        server = self.echo()
        client = self.s_client(server)
        server.line("^TLSv1.3")
        client.popen.kill()
        server.line("^Lost: (TLSTruncatedError|ConnectionLost)")

    def test_a_client_that_speaks_no_tls_is_refused(self):
        server = self.echo()
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.settimeout(DEADLINE)
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            s.recv(100)
        server.line("Refused: TLSHandshakeError: (http request|wrong version number)")


class Certificates(Peers):
    """Each certificate that tls-echo may have, and what its clients say."""

    def each(self, program, said_of, words):
        """words: of each certificate that the client refuses, what it says."""
        for name in *GOOD, *BAD:
            with self.subTest(certificate=name):
                server = self.echo(name)
                said = said_of(server, name not in words)
                if name in words:
                    theirs = re.search(words[name], said, re.I)
                    self.assertTrue(theirs, said)
                    ours = server.line("^(Refused|Lost): .*|^TLS.*")[0]
                    self.tell(program, name, theirs[0], ours)
                else:
                    self.assertIn("a line", said.splitlines())
                    self.tell(program, name, "good", server.line("^TLS.*")[0])
                server.end()

    def of_s_client(self, server, is_good):
        client = self.s_client(server, "-quiet")
        if is_good:
            client.say("a line\n")
            client.line("^a line$")
            client.end()
            return "\n".join(client.seen)
        return client.rest()

    def test_openssl(self):
        words = {**BAD}
        del words[BY_SUBJECT]
        self.each("openssl s_client", self.of_s_client, words)

    def of_python(self, server, _):
        context = ssl.create_default_context(cafile=AUTHORITY)
        try:
            with socket.create_connection(("127.0.0.1", server.port)) as s, \
                    context.wrap_socket(s, server_hostname=NAME) as t:
                t.settimeout(DEADLINE)
                t.sendall(b"a line\n")
                return t.recv(100).decode()
        except ssl.SSLError as e:
            return str(e)

    def test_python(self):
        words = {**BAD}
        del words[BY_SUBJECT]
        self.each("python3", self.of_python, words)

    def of_curl(self, server, is_good):
        client = self.run_process(
            "curl", "-sS", "-N", "--http0.9", "--cacert", AUTHORITY,
            "--connect-to", f"{NAME}:{server.port}:127.0.0.1:{server.port}",
            f"https://{NAME}:{server.port}/a line".replace(" ", "%20"))
        if is_good:
            client.line("^GET /a%20line HTTP/1.1$")
            client.end()
            return "a line"
        return client.rest()

    @needs("curl")
    def test_curl(self):
        words = dict.fromkeys(BAD, r"curl: \(60\) .*")
        del words[BY_SUBJECT]
        self.each("curl", self.of_curl, words)

    def of_gnutls(self, server, is_good):
        client = self.run_process(
            "gnutls-cli", "--x509cafile", AUTHORITY, "-p", server.port,
            "--sni-hostname", NAME, "--verify-hostname", NAME, "127.0.0.1")
        if is_good:
            client.line("Handshake was completed")
            client.say("a line\n")
            client.line("^a line$")
            client.end()
            return "\n".join(client.seen)
        return client.rest()

    @needs("gnutls-cli")
    def test_gnutls(self):
        self.each("gnutls-cli", self.of_gnutls, {
            **dict.fromkeys(("wildcard", "partial", "ip", "wrong-name"),
                            "name in the certificate does not match[^.]*"),
            "expired": "uses expired certificate", "early": "uses not yet valid certificate",
            **dict.fromkeys(("self-signed", "wrong-authority", "no-chain"),
                            "issuer is unknown"),
            "client-only": "certificate is NOT trusted.[^.]*"})

    def test_a_server_does_not_begin_with_what_everybody_refuses(self):
        for name, text in WEAK.items():
            with self.subTest(certificate=name):
                said = self.run_process(
                    f"{BUILD}/samples/tls-echo", "--port", 0, "--certificate",
                    certificate(name), "--key", key(name)).rest()
                self.assertIn("tls-echo: ", said)
                self.assertIn("too", said)
                self.tell("tls-echo itself", name, "", said)

    def test_a_server_does_not_begin_with_the_key_of_another(self):
        said = self.run_process(
            f"{BUILD}/samples/tls-echo", "--port", 0, "--certificate",
            certificate("good"), "--key", key("ip")).rest()
        self.assertRegex(said, "key")


PYTHON_SERVER = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.set_ciphers("ALL:@SECLEVEL=0")
context.load_cert_chain(sys.argv[1], sys.argv[2])
if len(sys.argv) > 3:
    context.set_alpn_protocols(sys.argv[3].split(","))
s = socket.create_server(("127.0.0.1", 0))
print("port", s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    try:
        t = context.wrap_socket(c, server_side=True)
        data = t.recv(1000)
        t.sendall(data)
        t.recv(1)
        t.unwrap().close()
        print("served", flush=True)
    except Exception as e:
        print("error", e, flush=True)

"""


class Ask(Peers):
    """tests/tls/ask, and each server."""

    def is_up(self, said, version="TLSv1.3"):
        self.assertRegex(said, f"^up {version} .* known$".replace("^", "(?m)^"))

    def s_server(self, name="good", *options):
        p = self.run_process("openssl", "s_server", "-accept", "127.0.0.1:0",
                             "-cert", certificate(name), "-key", key(name),
                             "-cert_chain", certificate(name), "-cipher",
                             "ALL:@SECLEVEL=0", *options)
        p.port = p.line(r"^ACCEPT .*:(\d+)")[1]
        return p

    def test_s_server_answers_on_each_backend(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                server = self.s_server("good", "-rev")
                said = self.ask(server.port, "send=a line", backend=backend)
                self.is_up(said)
                self.assertIn("got enil a", said)

    def test_versions(self):
        for option, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            with self.subTest(version=version):
                self.is_up(self.ask(self.s_server("good", "-rev", option).port,
                                    "send=a line"), version)
        for option in "-tls1", "-tls1_1":
            with self.subTest(version=option):
                said = self.ask(self.s_server("good", "-rev", option).port)
                self.assertRegex(said, "^failed TLSHandshakeError: ")
                self.assertRegex(said, "protocol")

    def test_old_ciphers_are_refused(self):
        for name, cipher in (("good", "ECDHE-ECDSA-AES128-SHA"),
                             ("rsa", "AES128-GCM-SHA256")):
            with self.subTest(cipher=cipher):
                server = self.s_server(name, "-tls1_2", "-cipher",
                                       f"{cipher}:@SECLEVEL=0")
                self.assertEqual(self.ask(server.port),
                                 "failed TLSHandshakeError: the peer says: "
                                 "handshake failure (alert 40)")

    def test_sessions_are_resumed(self):
        for option in "-tls1_2", "-tls1_3":
            with self.subTest(option=option):
                server = self.s_server("good", "-rev", option)
                said = self.ask(server.port, "send=a line", "times=3")
                self.assertEqual(len(re.findall("(?m)^up .* resumed", said)), 2, said)

    def test_protocols_are_agreed_on(self):
        server = self.s_server("good", "-rev", "-alpn", "b,c")
        self.assertRegex(self.ask(server.port, "alpn=a,c", "send=x"),
                         "(?m)^up TLSv1.3 .* c known")

    def test_a_server_that_wants_a_certificate_gets_it(self):
        server = self.s_server("good", "-rev", "-Verify", "1", "-CAfile", AUTHORITY,
                               "-verify_return_error", "-tls1_2")
        self.is_up(self.ask(server.port, f"certificate={certificate('client')}",
                            f"key={key('client')}", "send=x"), "TLSv1.2")
        self.assertRegex(self.ask(server.port), "^failed TLSHandshakeError: ")

    def shown(self, program, name, said, server):
        if name in GOOD:
            self.is_up(said, "TLSv1..")
            theirs = "good"
        else:
            self.assertEqual(said, f"failed TLSVerifyError: {({**BAD, **WEAK})[name]}")
            theirs = server
        self.tell(program, name, theirs, said.splitlines()[0])

    def test_each_certificate_of_s_server(self):
        for name in *GOOD, *BAD, *WEAK:
            with self.subTest(certificate=name):
                server = self.s_server(name, "-rev")
                said = self.ask(server.port, "send=a line")
                self.shown("openssl s_server", name, said,
                           "" if name in GOOD else server.line("alert ([^:]*)")[0])
                server.end()

    def python(self, name, *more):
        p = self.run_process(sys.executable, "-c", PYTHON_SERVER,
                             certificate(name), key(name), *more)
        p.port = p.line(r"^port (\d+)")[1]
        return p

    def test_each_certificate_of_python(self):
        for name in *GOOD, *BAD, *WEAK:
            with self.subTest(certificate=name):
                server = self.python(name)
                said = self.ask(server.port, "send=a line")
                self.shown("python3 server", name, said, "" if name in GOOD else
                           server.line("^error .*alert ([^(]*)")[1])
                if name in GOOD:
                    self.assertIn("got a line", said)
                    server.line("^served$")
                server.end()

    def test_names_that_a_certificate_is_good_for(self):
        for certificate_of, name, is_good in (
                ("wildcard", "www.poetry.example", True),
                ("wildcard", "a.b.poetry.example", False),
                ("wildcard", "poetry.example", False),
                ("partial", "poetry.example", False),
                ("ip", "127.0.0.1", True),
                ("ip", "::1", True),
                ("ip", "127.0.0.2", False),
                ("good", "POETRY.example", True),
                ("good", "localhost", True),
                ("common-name", "poetry.example", False)):
            with self.subTest(certificate=certificate_of, name=name):
                server = self.python(certificate_of)
                said = self.ask(server.port, "send=a line", name=name)
                if is_good:
                    self.is_up(said)
                else:
                    self.assertRegex(said, "^failed TLSVerifyError: (hostname|IP "
                                           "address) mismatch")
                server.end()

    def test_what_the_program_accepts_in_so_many_words(self):
        for name, option, is_good in (("wrong-name", "any=name", True),
                                      ("self-signed", "any=name", False),
                                      ("self-signed", "any=certificate", True),
                                      ("expired", "any=certificate", True)):
            with self.subTest(certificate=name, option=option):
                said = self.ask(self.python(name).port, option, "send=a line")
                self.assertEqual("got a line" in said, is_good, said)

    def listener(self):
        s = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(s.close)
        s.set_inheritable(True)
        return s, s.getsockname()[1]

    def nginx(self, *names):
        """One that has the certificate of the name that it is asked for."""
        s, port = self.listener()
        servers = "".join(
            f"server {{ listen 127.0.0.1:{port} ssl; server_name {host};\n"
            f"ssl_certificate {certificate(name)};\n"
            f"ssl_certificate_key {key(name)};\n"
            f"location / {{ return 200 '{host}'; }} }}\n" for host, name in names)
        d = self.directory.name
        conf = self.path("nginx.conf", f"""
            daemon off; user root; worker_processes 1; pid {d}/pid;
            error_log stderr notice;
            events {{}}
            http {{ access_log off; client_body_temp_path {d}/b; proxy_temp_path {d}/p;
            fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
            {servers} }}""")
        p = self.run_process(NGINX, "-e", "stderr", "-c", conf,
                             pass_fds=[s.fileno()], env={"NGINX": f"{s.fileno()};"})
        p.line("start worker process ")
        p.port = port
        return p

    @needs(NGINX)
    def test_nginx_is_told_the_name(self):
        server = self.nginx(("other.example", "wrong-name"), (NAME, "good"),
                            ("www.poetry.example", "wildcard"))
        for name in NAME, "www.poetry.example":
            with self.subTest(name=name):
                said = self.ask(
                    server.port, f"send=GET / HTTP/1.0\r\nHost: {name}\r\n\r",
                    "alpn=http/1.1", name=name)
                self.assertRegex(said, "(?m)^up TLSv1.[23] .* http/1.1 known$")
                self.assertIn("got HTTP/1.1 200 OK", said)

    def haproxy(self, text, *listeners):
        conf = self.path("haproxy.conf", "defaults\n mode tcp\n timeout connect 30s\n"
                         " timeout client 30s\n timeout server 30s\n" + text)
        return self.run_process(HAPROXY, "-db", "-f", conf,
                                pass_fds=[s.fileno() for s in listeners])

    def pem(self, name):
        """The certificate and its key in one file."""
        with open(certificate(name), encoding="ascii") as c, \
                open(key(name), encoding="ascii") as k:
            return self.path(f"{name}-both.pem", c.read() + k.read())

    @needs(HAPROXY)
    def test_haproxy_as_server_and_in_front(self):
        """ask -- TLS -- haproxy -- TLS -- tls-echo"""
        echo = self.echo("good", "--clients", AUTHORITY)
        s, port = self.listener()
        self.haproxy(f"""
listen front
 bind fd@{s.fileno()} ssl crt {self.pem('wildcard')}
 server echo 127.0.0.1:{echo.port} ssl verify required ca-file {AUTHORITY} sni str({NAME}) verifyhost {NAME} crt {self.pem('client')}
""", s)
        said = self.ask(port, "send=a line", name="www.poetry.example")
        self.is_up(said)
        self.assertIn("got a line", said)
        echo.line("^TLSv1.3, .*, known$")


class Samples(Peers):
    """Samples without TLS of their own, with endpoints of the kind tls."""

    POEM = "samples/poetry/ecstasy.txt"

    def sample(self, name, *arguments):
        """One that serves, with its port."""
        p = self.run_process(f"{BUILD}/samples/{name}", *arguments)
        p.port = p.line(r"(?:port |:)(\d+)\.$")[1]
        return p

    def secure_poetry(self):
        """portforward -- TCP -- fastpoetry, with TLS before the first."""
        poetry = self.sample("fastpoetry", "--port", 0, self.POEM)
        return self.sample("portforward", "tls:0:interface=127.0.0.1:cert="
                           f"{certificate('good')}:key={key('good')}",
                           f"tcp:127.0.0.1:{poetry.port}")

    def endpoint(self, server, authority):
        return f"tls:127.0.0.1:{server.port}:name={NAME}:ca={certificate(authority)}"

    def get(self, place):
        return self.run_process(f"{BUILD}/samples/get-poetry", place).rest()

    def test_get_poetry_gets_a_poem_from_whom_it_trusts(self):
        server = self.secure_poetry()
        with open(os.path.join(TOP, self.POEM), encoding="utf-8") as f:
            self.assertEqual(self.get(self.endpoint(server, "authority")).split(),
                             f.read().split())
        self.assertIn("TLSVerifyError",
                      self.get(self.endpoint(server, "other-authority")))

    def test_poetry_proxy_gets_a_poem_over_tls(self):
        server = self.secure_poetry()
        proxy = self.sample("poetry-proxy", "--port", 0,
                            self.endpoint(server, "authority"))
        self.assertIn("pillow", self.get(f"tcp:127.0.0.1:{proxy.port}"))


def write_table():
    os.makedirs(f"{BUILD}/check", exist_ok=True)
    with open(f"{BUILD}/check/tls-peers.md", "w", encoding="utf-8") as f:
        f.write("| with | certificate | the peer says | plait says |\n|---|---|---|---|\n")
        for (program, name), (theirs, ours) in told.items():
            f.write(f"| {program} | {name} | {theirs} | {ours} |\n")


if __name__ == "__main__":
    try:
        unittests.main()
    finally:
        write_table()
