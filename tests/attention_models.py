"""Attention written by hand in many ways, each with the same weights to be found, and what only looks so."""

import math

import torch
from torch import nn
from torch.nn import functional

SAMPLES, TIME, CHANNELS, HEADS = 3, 5, 8, 2


def sequences(samples=SAMPLES, time=TIME, channels=CHANNELS, seed=1):
    return torch.randn(samples, time, channels, generator=torch.Generator().manual_seed(seed))


class Projected(nn.Module):
    """Queries, keys and values of a sequence; a subclass attends. Keeps what the weights ought to be."""

    heads = HEADS

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(CHANNELS, CHANNELS) for _ in range(3))

    def forward(self, x):
        split = [
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        ]
        return self.attend(*split)

    def expected(self, x):
        with torch.no_grad():
            q, k = (
                layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key)
            )
            return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1).numpy()


def softmax_of(q, k):
    return functional.softmax(torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.shape[-1]), dim=-1)


class ByMatmul(Projected):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def attend(self, q, k, v):
        return torch.matmul(self.drop(softmax_of(q, k)), v).transpose(1, 2).flatten(2)


class ByOperator(Projected):
    def attend(self, q, k, v):
        return (softmax_of(q, k) @ v).transpose(1, 2).flatten(2)


class ByExponential(Projected):
    """No softmax is called."""

    def attend(self, q, k, v):
        scores = torch.exp((q @ k.mT) / math.sqrt(q.shape[-1]))
        return ((scores / scores.sum(-1, keepdim=True)) @ v).transpose(1, 2).flatten(2)


class ByEinsum(Projected):
    def attend(self, q, k, v):
        weights = torch.einsum("bhqd,bhkd->bhqk", q, k).div(math.sqrt(q.shape[-1])).softmax(-1)
        return torch.einsum("bhqk,bhkd->bqhd", weights, v).flatten(2)


class ByEinsumWithHeadsLast(Projected):
    def attend(self, q, k, v):
        q, k, v = (one.transpose(1, 2) for one in (q, k, v))
        weights = torch.einsum("bqhd,bkhd->bqkh", q, k).div(math.sqrt(q.shape[-1])).softmax(2)
        return torch.einsum("...khd, ...qkh -> ...qhd", v, weights).flatten(2)


class ByBmm(Projected):
    """Samples and heads in one axis, sample by sample, as older attention layers have them."""

    def attend(self, q, k, v):
        q, k, v = (one.flatten(0, 1) for one in (q, k, v))
        return torch.bmm(softmax_of(q, k), v).unflatten(0, (-1, HEADS)).transpose(1, 2).flatten(2)


class ByBaddbmm(Projected):
    def attend(self, q, k, v):
        q, k, v = (one.flatten(0, 1) for one in (q, k, v))
        found = torch.baddbmm(torch.zeros(1, 1, 1), softmax_of(q, k), v)
        return found.unflatten(0, (-1, HEADS)).transpose(1, 2).flatten(2)


class HeadByHeadJoined(Projected):
    """Heads joined along the axis of samples: all samples of the first head, then those of the second."""

    def attend(self, q, k, v):
        q, k, v = (torch.cat(list(one.unbind(1)), 0) for one in (q, k, v))
        return torch.cat(torch.bmm(softmax_of(q, k), v).split(len(q) // HEADS, 0), -1)


class HeadByHeadViewed(Projected):
    def attend(self, q, k, v):
        q, k, v = (one.transpose(0, 1).contiguous().view(-1, *one.shape[2:]) for one in (q, k, v))
        found = torch.bmm(softmax_of(q, k), v).view(HEADS, -1, *q.shape[1:])
        return found.permute(1, 2, 0, 3).flatten(2)


class HeadsFirst(Projected):
    def attend(self, q, k, v):
        q, k, v = (one.transpose(0, 1) for one in (q, k, v))
        return (softmax_of(q, k) @ v).permute(1, 2, 0, 3).flatten(2)


class ValuesFirst(Projected):
    """Values times transposed weights, as attention over maps is often written."""

    def attend(self, q, k, v):
        return (v.mT @ softmax_of(q, k).mT).transpose(1, 3).transpose(2, 3).flatten(2)


class Fused(Projected):
    def attend(self, q, k, v):
        return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class FusedHeadsFolded(Projected):
    def attend(self, q, k, v):
        q, k, v = (one.flatten(0, 1) for one in (q, k, v))
        found = functional.scaled_dot_product_attention(q, k, v)
        return found.unflatten(0, (-1, HEADS)).transpose(1, 2).flatten(2)


WAYS = [
    ByMatmul, ByOperator, ByExponential, ByEinsum, ByEinsumWithHeadsLast, ByBmm, ByBaddbmm, HeadByHeadJoined,
    HeadByHeadViewed, HeadsFirst, ValuesFirst, Fused, FusedHeadsFolded,
]  # fmt: skip


class Additive(nn.Module):
    """Additive self-attention (Bahdanau et al. 2014), over all steps or a band around each one.

    `e = v tanh(x_q W + x_k U + b)`, weights are `exp(e - max)` within the band over their sum.
    """

    def __init__(self, *, width=None, returns=False):
        super().__init__()
        self.width, self.returns = width, returns
        self.w, self.u = nn.Linear(CHANNELS, 4, bias=False), nn.Linear(CHANNELS, 4)
        self.v = nn.Linear(4, 1)

    def weights(self, x):
        scores = self.v(torch.tanh(self.w(x)[:, :, None] + self.u(x)[:, None])).squeeze(-1)
        scores = torch.exp(scores - scores.amax(-1, keepdim=True))
        if self.width is not None:
            steps = torch.arange(x.shape[1])
            lower = steps - self.width // 2
            upper = lower + self.width
            band = (lower[:, None] <= steps[None]) & (steps[None] < upper[:, None])
            scores = scores * band
        return scores / (scores.sum(-1, keepdim=True) + 1e-7)

    def forward(self, x):
        weights = self.weights(x)
        found = torch.bmm(weights, x)
        return (found, weights) if self.returns else found


class Pooling(nn.Module):
    """One number a step; `way` says how the sequence is summed up with it."""

    def __init__(self, way):
        super().__init__()
        self.score, self.way = nn.Linear(CHANNELS, 1), way

    def forward(self, x):
        weights = self.score(x).softmax(1)  # (sample, time, 1)
        if self.way == "times and sum":
            return (weights * x).sum(1)
        if self.way == "sum of a product":
            return torch.sum(torch.mul(x, weights), 1)
        if self.way == "bmm":
            return torch.bmm(weights.mT, x).squeeze(1)
        if self.way == "matmul from the right":
            return (x.mT @ weights).squeeze(-1)
        if self.way == "einsum":
            return torch.einsum("bt,btc->bc", weights.squeeze(-1), x)
        if self.way == "channels first":
            return (x.mT * weights.mT).sum(-1)
        time_first = x.transpose(0, 1)
        return (self.score(time_first).softmax(0) * time_first).sum(0)


WAYS_OF_POOLING = [
    "times and sum", "sum of a product", "bmm", "matmul from the right", "einsum", "channels first",
    "time first",
]  # fmt: skip


class Mixing(nn.Module):
    """A product that is no attention."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.linear, self.classes = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, TIME)
        self.mixture = nn.Parameter(torch.randn(TIME, TIME))
        self.rows = nn.Parameter(torch.rand(TIME, TIME).softmax(-1))
        self.table = nn.Embedding(TIME, CHANNELS)
        graph = torch.rand(TIME, TIME) + 0.1
        self.register_buffer("graph", graph / graph.sum(-1, keepdim=True))

    def forward(self, x, graph=None):
        samples = len(x)
        if self.kind == "a mixing matrix":
            return self.mixture.softmax(-1) @ self.linear(x)
        if self.kind == "a mixing matrix for each sample":
            return self.mixture.softmax(-1).expand(samples, -1, -1) @ self.linear(x)
        if self.kind == "a copied mixing matrix":
            return torch.bmm(self.mixture.softmax(-1).repeat(samples, 1, 1), self.linear(x))
        if self.kind == "a parameter":
            return self.rows.expand(samples, -1, -1).contiguous() @ self.linear(x)
        if self.kind == "a one-hot product":
            chosen = functional.one_hot(self.classes(x).argmax(-1), TIME).float()
            return chosen @ self.linear(x)
        if self.kind == "a softmax classifier's expectation":
            return self.classes(x).softmax(-1) @ self.table.weight
        if self.kind == "a table of parameters for each sample":
            return self.classes(x).softmax(-1) @ self.table.weight.expand(samples, -1, -1)
        if self.kind == "signed weights that sum to one":
            signed = self.classes(x)
            return (signed / signed.sum(-1, keepdim=True)) @ self.linear(x)
        if self.kind == "scores that do not sum to one":
            return self.classes(x).sigmoid() @ self.linear(x)
        if self.kind == "one set of weights for all samples":
            return self.classes(x.mean(0)).softmax(-1).expand(samples, -1, -1) @ self.linear(x)
        if self.kind == "a softmax classifier":
            return self.linear(x), self.classes(x).softmax(-1)[..., :4] / 0.9
        if self.kind == "class probabilities of each step":
            return self.linear(x), functional.pad(self.classes(x), (0, 2)).softmax(-1)
        if self.kind == "a normalised graph in a buffer":
            return self.graph.repeat(samples, 1, 1) @ self.linear(x)
        if self.kind == "means":
            return torch.full((samples, TIME, TIME), 1 / TIME) @ self.linear(x)
        if self.kind == "gates":
            return self.linear(x).sigmoid() * x
        if self.kind == "a mean of what is no padding":
            seen = (x[..., :1] * 0 + 1).detach()
            return (seen / seen.sum(1, keepdim=True) * self.linear(x)).sum(1)
        return (graph / graph.sum(-1, keepdim=True)) @ self.linear(x)


NO_ATTENTION = [
    "a mixing matrix", "a mixing matrix for each sample", "a copied mixing matrix", "a parameter",
    "a one-hot product", "a softmax classifier's expectation", "a table of parameters for each sample",
    "signed weights that sum to one", "scores that do not sum to one", "one set of weights for all samples",
    "a softmax classifier",
    "class probabilities of each step", "a normalised graph in a buffer", "means", "gates",
    "a mean of what is no padding",
]  # fmt: skip
