"""Class-activation maps: from a layer's output, and the gradient of a score in it, to one map a sample."""

from __future__ import annotations

import numpy as np

METHODS = ("grad-cam", "grad-cam++", "hirescam", "layercam", "eigencam", "cam")
WITHOUT_GRADIENT = frozenset({"eigencam"})
SIGNED = frozenset({"hirescam", "cam"})
"""These say what speaks against the class, too."""
_CONSTANT = 1e-4


def activation_map(method: str, output: np.ndarray, gradient: np.ndarray | None = None) -> np.ndarray:
    """The map of one of `METHODS`, `(sample, *space)`, float32.

    Args:
        method: which.
        output: `(sample, *space, channel)`.
        gradient: of each sample's score with respect to it, in its shape; "eigencam" needs none.

    Example:
        >>> output = np.array([[[1.0, 0.0], [0.0, 2.0]]])           # one sample, two places, two channels
        >>> gradient = np.array([[[1.0, -1.0], [3.0, -1.0]]])
        >>> activation_map("grad-cam", output, gradient).tolist()   # channels count 2 and -1
        [[2.0, 0.0]]
    """
    values = output.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        if method == "eigencam":
            found = eigen_cam(values)
        elif gradient is None:
            raise TypeError(f"{method} needs a gradient")
        else:
            found = _WITH_GRADIENT[method](values, gradient.astype(np.float64))
        return np.asarray(found, np.float32)


def grad_cam(output: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Channels weighted by their mean gradient, the positive part of the sum.

    Selvaraju et al. 2017, "Grad-CAM", arXiv:1610.02391, equations 1 and 2.
    """
    weights = gradient.mean(axis=_space(gradient), keepdims=True)
    return np.asarray(np.maximum((weights * output).sum(axis=-1), 0))


def grad_cam_plus_plus(output: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Channels weighted by their positive gradients, each place with its own share; the positive part.

    Chattopadhay et al. 2018, "Grad-CAM++", arXiv:1710.11063, equations 10 and 19, for the exponential of the
    score: the second and third derivatives then are powers of the gradient g, and the share
    g^2 / (2 g^2 + g^3 sum(A)) is 1 / (2 + g sum(A)). The factor exp(score), the same at all places, is left
    out. Other packages differ: tf-keras-vis brings each channel's shares to a sum of one, as the authors'
    program does; torch-cam 0.5 weighs by g^2, because its division changes a copy.
    """
    total = output.sum(axis=_space(output), keepdims=True)
    below = 2 + gradient * total
    share = np.divide(1, below, out=np.zeros_like(below), where=(gradient > 0) & (below != 0))
    share[np.isnan(below)] = np.nan
    weights = (share * np.maximum(gradient, 0)).sum(axis=_space(output), keepdims=True)
    return np.asarray(np.maximum((weights * output).sum(axis=-1), 0))


def hires_cam(output: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The sum of gradient x output over channels: what each place adds to the score, with its sign.

    Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM", arXiv:2011.08891.
    """
    return np.asarray((gradient * output).sum(axis=-1))


def layer_cam(output: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The sum of positive gradient x output over channels, the positive part.

    Jiang et al. 2021, "LayerCAM", IEEE Transactions on Image Processing 30, doi:10.1109/TIP.2021.3089943.
    """
    return np.asarray(np.maximum((np.maximum(gradient, 0) * output).sum(axis=-1), 0))


def eigen_cam(output: np.ndarray) -> np.ndarray:
    """How much each place has of the output's leading singular vector; of its magnitude.

    Muhammad and Yeasin 2020, "Eigen-CAM", arXiv:2008.00299: the output as `(place, channel)`, not centred,
    projected on its first right singular vector, sample by sample. The sign of that is arbitrary, so the
    magnitude is taken; outputs of a ReLU are projected on one side alone. Places that are not finite stay so.
    """
    maps = np.empty(output.shape[:-1])
    for place, sample in enumerate(output):
        flat = sample.reshape(-1, sample.shape[-1])
        finite = np.isfinite(flat).all(axis=1)
        projected = flat.sum(axis=1)
        projected[finite] = np.abs(flat[finite] @ _leading(flat[finite]))
        maps[place] = projected.reshape(sample.shape[:-1])
    return maps


def class_activation_map(output: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Channels weighted by what they weigh in the score, with its sign.

    Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", arXiv:1512.04150: after global
    average pooling and one Dense layer, a channel's gradient summed over space is its weight for the class.
    """
    weights = gradient.sum(axis=_space(gradient), keepdims=True)
    return np.asarray((weights * output).sum(axis=-1))


def is_constant_over_space(gradient: np.ndarray) -> bool:
    """Whether each channel has one gradient at all places, as it is after global average pooling.

    Example:
        >>> is_constant_over_space(np.ones((1, 4, 4, 2))), is_constant_over_space(np.eye(4)[None, ..., None])
        (True, False)
    """
    with np.errstate(invalid="ignore"):
        away = np.abs(gradient - gradient.mean(axis=_space(gradient), keepdims=True))
        greatest = np.abs(gradient).max(axis=tuple(range(1, gradient.ndim)), keepdims=True)
        return bool((np.isnan(away) | (away <= _CONSTANT * greatest)).all())


_WITH_GRADIENT = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "hirescam": hires_cam,
    "layercam": layer_cam,
    "cam": class_activation_map,
}


def _space(values: np.ndarray) -> tuple[int, ...]:
    return tuple(range(1, values.ndim - 1))


def _leading(rows: np.ndarray) -> np.ndarray:
    """The first right singular vector of `(place, channel)`."""
    places, channels = rows.shape
    if places == 0:
        return np.zeros(channels)
    if channels <= places:
        return np.asarray(np.linalg.eigh(rows.T @ rows)[1][:, -1])
    vector = rows.T @ np.linalg.eigh(rows @ rows.T)[1][:, -1]
    length = np.sqrt(np.square(vector).sum())
    return np.asarray(vector / (length or 1.0))
