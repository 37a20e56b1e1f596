"""Sentiment and distress of what customers write, in Persian and English. Pure; see `score`."""

from streams.core.sentiment.scoring import VERSION, Sentiment, score

__all__ = ["VERSION", "Sentiment", "score"]
