"""A seeded simulation of a company's customers over the last 90 days."""

from producers.simulator.publish import SimulationCounts, publish_simulation
from producers.simulator.stream import Simulated, simulate

__all__ = ["Simulated", "SimulationCounts", "publish_simulation", "simulate"]
