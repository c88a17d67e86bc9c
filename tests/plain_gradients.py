"""`Differentiate` in a few lines of plain autograd, and by hand: what algorithms are tested with."""

import numpy as np

from layerviz_callbacks.explaining import Derivative


def torch_differentiate(model, calls=None):
    """Of a torch model and its named modules; every call's inputs are appended to `calls`."""
    import torch

    def differentiate(inputs, weights, *, layer="", output=""):
        if calls is not None:
            calls.append({name: array.copy() for name, array in inputs.items()})
        tensors = {name: torch.tensor(array) for name, array in inputs.items()}
        floating = {name: one.requires_grad_() for name, one in tensors.items() if one.is_floating_point()}
        heard = []
        hook = dict(model.named_modules())[layer].register_forward_hook(lambda *call: heard.append(call[2]))
        answer = model(*tensors.values())
        hook.remove()
        if layer:
            answer = heard[0].movedim(1, -1) if heard[0].ndim > 2 else heard[0]
        chosen = torch.tensor(weights(tuple(answer.shape)))
        gradients = torch.autograd.grad((chosen * answer).sum(), [*floating.values()], allow_unused=True)
        found = dict(zip(floating, gradients, strict=True))
        return Derivative(
            answer.detach().numpy().astype(np.float32),
            {name: one.numpy() for name, one in found.items() if one is not None},
        )

    return differentiate


def numpy_linear(matrix, *, relu=False, offset=0.0):
    """Of one dense layer without a framework: `answer = matrix @ input + offset`, with a ReLU or none."""

    def differentiate(inputs, weights, *, layer="", output=""):
        (name, given), *_ = inputs.items()
        answer = given.reshape(len(given), -1) @ matrix.T + offset
        passed = (answer > 0) if relu else np.ones_like(answer)
        chosen = weights(answer.shape) * passed
        answer = np.maximum(answer, 0) if relu else answer
        return Derivative(answer.astype(np.float32), {name: (chosen @ matrix).reshape(given.shape)})

    return differentiate
