"""Snapshots in HDF5 files, readable by any HDF5 library; `docs/snapshots.md` says it at length.

```text
/                             attributes: format, version, precision, best_step (where one was marked)
/layers/<layer>               JSON: name, kind, place, shapes ... of each layer; number: its order
/steps/<step>/facts           JSON: step, when, layers, cuts, unread, verdicts ...
/steps/<step>/metrics         attributes: loss, accuracy ...
/steps/<step>/numbers/{names,values}     (n,) each: every scalar of the step by its tag
/steps/<step>/health/{names,values}      (n, 2) layer and what is measured; (n,)
/steps/<step>/kernels/<layer>            (out, in, *space)
/steps/<step>/kernels_taken/<layer>      (4, channel): which channels, lowest, highest, whether NaN
/steps/<step>/weights/<layer>/<weight>
/steps/<step>/outputs/<layer>            (sample, *space, channel)
/steps/<step>/outputs_taken/<layer>      (4, channel)
/steps/<step>/attention/<layer>          (sample, head, query, key)
/steps/<step>/gradients/<n>/<layer>      (sample, *space, channel), of facts["targets"][n]
/steps/<step>/patterns/<layer>/...       inputs, before, after, dead, mean, deviation
/steps/<step>/inputs/<input>             (sample, *space, channel), as displayed
/steps/<step>/model_outputs/<output>     as the model gives them
/steps/<step>/scores/<n>/...             values, region; classes and target in facts["scores"][n]
/steps/<step>/saliency/<n>/<input>       of facts["saliency"][n]
/steps/<step>/probe/...                  arrays/<input>, targets, facts
/steps/<step>/initial/...                what later steps are compared with, as in a step
```

A step that stands there is complete. What did not change since an earlier step is a hard link to it. Datasets
are contiguous and not compressed. Names of layers are their own, but for "/", "%" and what cannot be printed,
which are `%2F`, `%25` ...

Precision float16: a dataset is to be multiplied by its attribute `scale`. Precision uint8: beside `kernels`,
`outputs`, `attention` and `gradients` stand `kernels_levels` ... with a dataset `levels (2, channel)` of the
same name. Code 0 is 0.0, codes 1 to 252 are `levels[0] * code + levels[1]`, and 253, 254 and 255 are -inf,
+inf and NaN.
"""

from __future__ import annotations

from layerviz_callbacks.store.file import SnapshotFile
from layerviz_callbacks.store.library import MissingLibraryError
from layerviz_callbacks.store.run_file import RunFile
from layerviz_callbacks.store.snapshots import Snapshots
from layerviz_callbacks.store.writer import SnapshotWriter

__all__ = ["MissingLibraryError", "RunFile", "SnapshotFile", "SnapshotWriter", "Snapshots"]
