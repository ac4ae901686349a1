"""The shipped broker configuration, on a real Mosquitto: devices reach their own topics only."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from support.brokers import mosquitto_program, wait_for_port

from fjarrkoll.embedded.broker import free_port
from fleet.wire.messages import Ack, encode_ack
from fleet.wire.topics import (
    MAX_PAYLOAD_BYTES,
    DownChannel,
    UpChannel,
    down_topic,
    is_id,
    up_topic,
)
from ingest.session import SMALLEST_WINDOW

SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto"
WORKER, PASSWORD = "fjarrkoll.ingest", "a-password-of-this-test"
TENANT, A, B = "vgr", "wc-000017", "wc-000018"
QUIET_S = 1.0


def _missing() -> str | None:
    absent = [name for name in ("openssl", "mosquitto_passwd") if shutil.which(name) is None]
    if mosquitto_program() is None:
        absent.append("mosquitto")
    return f"not installed: {', '.join(absent)}" if absent else None


@dataclass
class Installed:
    """The shipped configuration with this run's ports and files in place of the real ones."""

    directory: Path
    device_port: int
    worker_port: int

    def certificate(self, name: str) -> tuple[Path, Path]:
        return self.directory / f"{name}.crt", self.directory / f"{name}.key"


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _make_ca(directory: Path, name: str) -> None:
    _openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", f"/CN={name}", "-keyout", directory / f"{name}.key",
        "-out", directory / f"{name}.crt",
    )  # fmt: skip


def _sign(directory: Path, name: str, ca: str = "device-ca") -> None:
    request, extensions = directory / f"{name}.csr", directory / f"{name}.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl(
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", f"/CN={name}", "-keyout", directory / f"{name}.key", "-out", request,
    )  # fmt: skip
    _openssl(
        "x509", "-req", "-in", request, "-CA", directory / f"{ca}.crt",
        "-CAkey", directory / f"{ca}.key", "-CAcreateserial", "-days", "2",
        "-extfile", extensions, "-out", directory / f"{name}.crt",
    )  # fmt: skip


def _configuration(installed: Installed) -> str:
    directory = installed.directory
    replaced = {
        "listener 8883": f"listener {installed.device_port} 127.0.0.1",
        "listener 1883 127.0.0.1": f"listener {installed.worker_port} 127.0.0.1",
        "/etc/mosquitto/certs": str(directory),
        "/etc/mosquitto/fjarrkoll.passwd": str(directory / "passwd"),
        "/etc/mosquitto/fjarrkoll.acl": str(directory / "acl"),
        "/var/lib/mosquitto/": f"{directory}/",
    }
    text = (SHIPPED / "mosquitto.conf").read_text("utf-8")
    for shipped, here in replaced.items():
        assert shipped in text, f"{shipped} is not in the shipped configuration any more"
        text = text.replace(shipped, here)
    return text


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    reason = _missing()
    if reason is not None:
        print(reason)
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("mosquitto")
    installed = Installed(directory, free_port(), free_port())
    _make_ca(directory, "device-ca")
    _make_ca(directory, "other-ca")
    for name in ("server", A, B, WORKER):
        _sign(directory, name)
    _sign(directory, "stranger", ca="other-ca")
    shutil.copy(SHIPPED / "acl", directory / "acl")
    passwords = directory / "passwd"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, WORKER, PASSWORD], check=True)
    config = directory / "mosquitto.conf"
    config.write_text(_configuration(installed))
    # As root it changes to another user, who could not read this directory.
    command = [str(mosquitto_program()), "-c", str(config)]
    config.write_text(config.read_text() + "\nuser root\n")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_port(installed.worker_port)
        yield installed
    finally:
        process.terminate()
        process.wait(10)


class Peer:
    """One connected client that keeps what arrives."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.arrived: list[tuple[str, bytes]] = []
        self.answers: dict[int, str] = {}
        self._news = Event()
        client.on_message = self._on_message
        client.on_subscribe = lambda *_: self._news.set()
        client.on_publish = self._on_publish

    def _on_message(self, _client: Client, _data: object, message: Any) -> None:
        self.arrived.append((message.topic, message.payload))
        self._news.set()

    def _on_publish(
        self, _client: Client, _data: object, mid: int, reason: object, _properties: object
    ) -> None:
        self.answers[mid] = str(reason)
        self._news.set()

    def subscribe(self, topic: str) -> None:
        self._news.clear()
        self.client.subscribe(topic, qos=1)
        assert self._news.wait(5), f"no SUBACK for {topic}"

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> str:
        """Publish with QoS 1; returns what the broker says of it."""
        self._news.clear()
        info = self.client.publish(topic, payload, qos=1, retain=retain)
        while info.mid not in self.answers:
            assert self._news.wait(5), f"no PUBACK for {topic}"
            self._news.clear()
        return self.answers[info.mid]

    def wait_for(self, expected: tuple[str, bytes]) -> None:
        while expected not in self.arrived:
            assert self._news.wait(5), f"{expected} has not arrived"
            self._news.clear()

    def waits_in_vain(self) -> bool:
        """True if nothing arrives while the broker has time to deliver."""
        self._news.clear()
        return not self._news.wait(QUIET_S) and not self.arrived


@contextmanager
def _connected(client: Client, port: int, *, keeps_session: bool = False) -> Iterator[Peer]:
    peer, outcome, done = Peer(client), list[str](), Event()

    def on_connect(_c: Client, _d: object, _f: object, reason: Any, _p: object) -> None:
        if reason.is_failure:
            outcome.append(str(reason))
        done.set()

    def on_disconnect(_c: Client, _d: object, _f: object, reason: Any, _p: object) -> None:
        if not done.is_set():
            outcome.append(str(reason))
            done.set()

    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 60 if keeps_session else 0
    client.connect("127.0.0.1", port, clean_start=not keeps_session, properties=properties)
    client.loop_start()
    try:
        assert done.wait(5), "no CONNACK"
        if outcome:
            raise ConnectionRefusedError(outcome[0])
        yield peer
    finally:
        client.disconnect()
        client.loop_stop()


def _device(broker: Installed, certificate: str | None, client_id: str | None = None) -> Any:
    client = Client(
        CallbackAPIVersion.VERSION2, client_id=client_id or certificate or "none", protocol=MQTTv5
    )
    context = ssl.create_default_context(cafile=str(broker.directory / "device-ca.crt"))
    if certificate is not None:
        context.load_cert_chain(*broker.certificate(certificate))
    client.tls_set_context(context)
    return _connected(client, broker.device_port)


def _worker(broker: Installed, password: str = PASSWORD, *, keeps_session: bool = False) -> Any:
    client = Client(
        CallbackAPIVersion.VERSION2, client_id="fjarrkoll.ingest.0.bulk", protocol=MQTTv5
    )
    client.username_pw_set(WORKER, password)
    return _connected(client, broker.worker_port, keeps_session=keeps_session)


def test_a_device_is_heard_on_its_own_topic_and_hears_its_acknowledgement(
    broker: Installed,
) -> None:
    topic, down = up_topic(TENANT, A, UpChannel.BULK), down_topic(TENANT, A, DownChannel.ACK)
    ack = encode_ack(Ack("9f2c61d0a4b7e813", 1))
    with _worker(broker) as worker, _device(broker, A) as device:
        worker.subscribe("fk/1/+/+/+/up/+")
        device.subscribe(down)
        device.publish(topic, b"{}")
        worker.wait_for((topic, b"{}"))
        worker.publish(down, ack)
        device.wait_for((down, ack))


def test_a_device_cannot_speak_in_the_name_of_another(broker: Installed) -> None:
    own, foreign = (up_topic(TENANT, one, UpChannel.BULK) for one in (A, B))
    with _worker(broker) as worker, _device(broker, A) as device:
        worker.subscribe("fk/1/+/+/+/up/+")
        worker.subscribe("fk/1/+/+/+/down/+")
        said = device.publish(foreign, b"forged")
        assert said == "Not authorized"
        for topic in (
            down_topic(TENANT, B, DownChannel.ACK),
            down_topic(TENANT, A, DownChannel.ACK),
        ):
            assert device.publish(topic, b"forged") == "Not authorized"
        device.publish(own, b"end")
        worker.wait_for((own, b"end"))
    assert [payload for _, payload in worker.arrived] == [b"end"]


@pytest.mark.parametrize(
    "wish", ["#", "fk/#", "fk/1/+/+/+/down/+", "fk/1/+/+/+/up/+", "$SYS/#", "$share/g/fk/#", "B"]
)
def test_a_device_hears_nothing_that_is_not_its_own(broker: Installed, wish: str) -> None:
    foreign = down_topic(TENANT, B, DownChannel.ACK)
    with _worker(broker) as worker, _device(broker, A) as spy, _device(broker, B) as owner:
        owner.subscribe(foreign)
        spy.subscribe(foreign if wish == "B" else wish)
        worker.publish(foreign, b"for B alone")
        owner.publish(up_topic(TENANT, B, UpChannel.BULK), b"from B")
        owner.wait_for((foreign, b"for B alone"))
        assert spy.waits_in_vain()


def test_a_device_cannot_take_the_session_of_another(broker: Installed) -> None:
    foreign = down_topic(TENANT, B, DownChannel.ACK)
    with _worker(broker) as worker, _device(broker, B) as owner:
        owner.subscribe(foreign)
        with _device(broker, A, client_id=B):
            worker.publish(foreign, b"still here")
            owner.wait_for((foreign, b"still here"))


@pytest.mark.parametrize("certificate", [None, "stranger"])
def test_without_a_certificate_of_ours_nobody_gets_in(
    broker: Installed, certificate: str | None
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)), _device(broker, certificate):
        pass


def test_the_worker_needs_its_password(broker: Installed) -> None:
    with pytest.raises(ConnectionRefusedError), _worker(broker, "wrong"):
        pass


def test_what_a_worker_missed_waits_for_it(broker: Installed) -> None:
    topic = up_topic(TENANT, A, UpChannel.BULK)
    with _worker(broker, keeps_session=True) as worker:
        worker.subscribe("fk/1/+/+/+/up/+")
    with _device(broker, A) as device:
        for number in range(1_500):  # more than the default limit of a queue
            device.client.publish(topic, b"%d" % number, qos=1)
        device.publish(topic, b"last")
    with _worker(broker, keeps_session=True) as worker:
        worker.wait_for((topic, b"last"))
        assert len(worker.arrived) == 1_501
        worker.client.unsubscribe("fk/1/+/+/+/up/+")


def test_a_birth_is_kept_for_a_worker_that_comes_later(broker: Installed) -> None:
    topic = up_topic(TENANT, A, UpChannel.STATE)
    with _device(broker, A) as device:
        device.publish(topic, b"birth", retain=True)
    with _worker(broker) as worker:
        worker.subscribe("fk/1/+/+/+/up/state")
        worker.wait_for((topic, b"birth"))


def test_no_device_may_bear_the_name_of_the_worker() -> None:
    assert f"user {WORKER}" in (SHIPPED / "acl").read_text("utf-8")
    assert not is_id(WORKER)


def test_limits_agree_with_the_code() -> None:
    lines = (SHIPPED / "mosquitto.conf").read_text("utf-8").splitlines()
    settings = dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))
    assert int(settings["max_packet_size"]) > MAX_PAYLOAD_BYTES
    assert int(settings["max_inflight_messages"]) >= SMALLEST_WINDOW
    assert settings["max_queued_messages"] == "0"
    assert settings["retain_available"] == "true"
