"""A real MQTT client (paho), as programs in a house use one."""

from __future__ import annotations

import time
from typing import Any

from paho.mqtt import client as paho

from tests.support.installation import Installation
from tests.support.processes import wait_until


class MqttClient:
    """One connection; `heard` is what came, `refused` why it was not let in."""

    def __init__(
        self, port: int, user: str, password: str, name: str = "", *, clean: bool = True, version: int = paho.MQTTv311
    ) -> None:
        api = paho.CallbackAPIVersion.VERSION2
        more = {"clean_session": clean} if version != paho.MQTTv5 else {}
        self.paho = paho.Client(api, client_id=name, protocol=version, **more)
        self.paho.username_pw_set(user, password)
        self.port = port
        self.heard: list[tuple[str, bytes, bool]] = []
        self.acknowledged: set[int] = set()
        self.granted: dict[int, bool] = {}
        self.answer = ""
        self.lost = 0
        self.paho.on_connect = lambda *given: setattr(self, "answer", str(given[3]))
        self.paho.on_message = lambda _c, _u, one: self.heard.append((one.topic, one.payload, one.retain))
        self.paho.on_publish = lambda *given: self.acknowledged.add(given[2])
        self.paho.on_subscribe = lambda *given: self.granted.__setitem__(given[2], not given[3][0].is_failure)
        self.paho.on_disconnect = self._on_disconnect

    def _on_disconnect(self, *_: Any) -> None:
        self.lost += 1

    def __enter__(self) -> MqttClient:
        self.paho.connect("127.0.0.1", self.port)
        self.paho.loop_start()
        wait_until(lambda: self.answer, 10, "an answer to CONNECT")
        return self

    def __exit__(self, *_: object) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def publish(self, topic: str, payload: bytes | str, qos: int = 1, *, retain: bool = False) -> None:
        """Publish, and with QoS 1 wait until that is acknowledged."""
        sent = self.paho.publish(topic, payload, qos, retain)
        if qos:
            wait_until(lambda: sent.mid in self.acknowledged, 10, f"the acknowledgement on {topic}")

    def subscribe(self, topic: str, qos: int = 1) -> bool:
        """Subscribe; whether it was granted."""
        _, number = self.paho.subscribe(topic, qos)
        assert number is not None
        return bool(wait_until(lambda: [self.granted[number]] if number in self.granted else None, 10, "SUBACK")[0])

    def texts(self) -> dict[str, str]:
        """The newest text on each topic that was heard."""
        return {topic: payload.decode() for topic, payload, _ in self.heard}


def key_for(installed: Installation, port: int, name: str, *rights: str, client: str = "", **more: Any) -> MqttClient:
    """A client with a new key, once nats-server knows it."""
    made = installed.run("keys", "add", name, "--mqtt", *rights)["mqtt"]
    wait_for_user(port, made["user"], made["password"])
    return MqttClient(port, made["user"], made["password"], client, **more)


def may_connect(port: int, user: str, password: str) -> bool:
    """Whether nats-server lets a user in."""
    with MqttClient(port, user, password) as one:
        return one.answer == "Success"


def wait_for_user(port: int, user: str, password: str) -> None:
    """Wait until nats-server knows a key that was just made."""
    wait_until(lambda: may_connect(port, user, password), 15, f"the user {user}")
    time.sleep(0.1)
