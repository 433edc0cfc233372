"""Does anything reach out, when it is imported or tested?

pytest-socket (pyproject.toml) stops what tests do in Python; CI runs them where there is no network
at all (tools/offline.sh), for what other processes do, and C++.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import textwrap

import pytest

ELSEWHERE = ("192.0.2.1", 9)  # of the addresses that are nobody's: RFC 5737

WATCHED = """
import sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"the import of the package does {event}{arguments}")

sys.addaudithook(refuse)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WATCHED + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_opens_no_socket() -> None:
    result = run(
        """
        import per_step_dense as psd
        from per_step_dense import distributed, demo
        print(psd.show_config().splitlines()[0].split()[0])
        """
    )
    assert (result.stdout, result.returncode) == ("per_step_dense\n", 0), result.stderr


def test_a_socket_would_be_noticed() -> None:
    result = run("import socket; socket.socket()")
    assert result.returncode == 1
    assert "the import of the package does socket.__new__" in result.stderr


def test_tests_reach_nothing_elsewhere() -> None:
    with socket.socket() as end, pytest.raises(Exception, match=re.escape(ELSEWHERE[0])):
        end.settimeout(1)
        end.connect(ELSEWHERE)


def test_tests_reach_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as end:
            end.sendall(b"here")
        with server.accept()[0] as other:
            assert other.recv(4) == b"here"
