"""Ceph's S3 gateway, from Debian's packages radosgw, ceph-mon and ceph-osd, for as long as it is needed.

One monitor, one store in memory and one gateway, all on 127.0.0.1, in a temporary folder, ended by their process ids.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.plugins.support.s3.servers import S3Server

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PATIENCE = 120
"""Seconds in which the gateway has to answer."""

SETTINGS = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{port}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms mon client mode = crc
ms client mode = crc
auth cluster required = none
auth service required = none
auth client required = none
run dir = {folder}
admin socket =
log file = {folder}/$name.log
mon data = {folder}/mon
mon cluster log file = {folder}/cluster.log
mon allow pool size one = true
mon max pg per osd = 5000
mon warn on pool no redundancy = false
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
rgw data = {folder}/rgw
rgw run sync thread = false
rgw enable usage log = false
rgw enable quota threads = false
"""


class Ceph:
    """A cluster of one, in a folder of ours."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._settings = folder / "ceph.conf"
        self._monitor = _free_port()
        self._fsid = str(uuid.uuid4())
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, server: S3Server, *, port: int) -> None:
        """Start it all, and return when the gateway answers."""
        settings = SETTINGS.format(fsid=self._fsid, port=self._monitor, folder=self._folder)
        self._settings.write_text(settings)
        self._start_monitor()
        self._start_store()
        self._run("radosgw-admin", "user", "create", "--uid=spark", "--display-name=spark",
                  f"--access-key={server.key}", f"--secret-key={server.secret}")  # fmt: skip
        self._launch("radosgw", "-n", "client.rgw", "--rgw-frontends", f"beast endpoint=127.0.0.1:{port} tcp_nodelay=1")
        self._wait_for(server.endpoint_url)

    def end(self) -> None:
        """End the processes, gateway first."""
        for process in reversed(self._processes):
            process.kill()  # it all goes to the bin
            process.wait()

    def _start_monitor(self) -> None:
        monmap = str(self._folder / "monmap")
        address = f"[v2:127.0.0.1:{self._monitor}]"
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", address, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._launch("ceph-mon", "-i", "a")

    def _start_store(self) -> None:
        name = str(uuid.uuid4())
        self._run("ceph", "osd", "new", name)
        (self._folder / "osd").mkdir()
        self._run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", name)
        self._run("ceph", "osd", "crush", "add", "osd.0", "1", "root=default")
        self._launch("ceph-osd", "-i", "0")

    def _run(self, program: str, *arguments: str) -> None:
        command = [program, "-c", str(self._settings), *arguments] if program != "monmaptool" else [program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} {arguments[0]} failed: {done.stderr[-2000:] or done.stdout[-2000:]}")

    def _launch(self, program: str, *arguments: str) -> None:
        command = [program, "-f", "-c", str(self._settings), *arguments]
        with (self._folder / f"{program}.out").open("wb") as output:
            self._processes.append(subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True))

    def _wait_for(self, endpoint_url: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            try:
                with urlopen(endpoint_url, timeout=5):
                    return
            except URLError:
                time.sleep(0.1)  # until it listens
            ended = next((process for process in self._processes if process.poll() is not None), None)
            if ended is not None:
                break
        logs = "".join(log.read_text(errors="replace")[-1000:] for log in self._folder.glob("*.out"))
        raise RuntimeError(f"Ceph's gateway did not start:\n{logs}")


@contextmanager
def running_ceph() -> Iterator[S3Server]:
    """Start a cluster of one; nothing of it is left afterwards."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise RuntimeError(f"{', '.join(missing)} not found: apt-get install radosgw ceph-mon ceph-osd ceph-common")
    port = _free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spark-ceph-", ignore_cleanup_errors=True))
        server = stack.enter_context(closing(S3Server(f"http://127.0.0.1:{port}")))
        ceph = Ceph(Path(folder))
        stack.callback(ceph.end)
        ceph.start(server, port=port)
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
