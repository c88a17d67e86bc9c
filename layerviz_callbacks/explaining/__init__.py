"""What a model looks at: scores, and what is found by their gradients. NumPy; the doors differentiate."""

from __future__ import annotations

from layerviz_callbacks.explaining.differentiation import Derivative, Differentiate
from layerviz_callbacks.explaining.patterns import FoundPatterns, PatternRecipe
from layerviz_callbacks.explaining.saliency import SaliencyRecipe
from layerviz_callbacks.explaining.scores import Score, score_of
from layerviz_callbacks.explaining.target import Target

__all__ = [
    "Derivative",
    "Differentiate",
    "FoundPatterns",
    "PatternRecipe",
    "SaliencyRecipe",
    "Score",
    "Target",
    "score_of",
]
