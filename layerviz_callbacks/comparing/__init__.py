"""Two runs, or two epochs of one, side by side: matched filters, CKA between layers, where they part.

```python
from layerviz_callbacks import compare

comparison = compare("seed 1.h5", "seed 2.h5")      # or compare("run.h5", step=(1, 20)), or two snapshots
print(comparison)                                   # a table, and where they part
comparison["conv2"].match.partners                  # which channel of b is which of a
for picture in comparison.pictures():
    picture.save(f"{picture.tag.replace('/', ' ')}.png")
```
"""

from __future__ import annotations

from layerviz_callbacks.comparing.cka import linear_cka
from layerviz_callbacks.comparing.compare import PARTED_BELOW, compare
from layerviz_callbacks.comparing.comparison import Comparison, LayerComparison, PredictionComparison
from layerviz_callbacks.comparing.weights import Match

__all__ = [
    "PARTED_BELOW",
    "Comparison",
    "LayerComparison",
    "Match",
    "PredictionComparison",
    "compare",
    "linear_cka",
]
