"""Attention of PyTorch models: every kind is heard, its weights are right, and nothing else is changed."""

import gc
import math
import warnings

import numpy as np
import pytest
import torch
from attention_models import (
    CHANNELS,
    HEADS,
    NO_ATTENTION,
    SAMPLES,
    TIME,
    WAYS,
    WAYS_OF_POOLING,
    Additive,
    ByMatmul,
    Fused,
    Mixing,
    Pooling,
    Projected,
    sequences,
    softmax_of,
)  # fmt: skip
from torch import nn
from torch.nn import functional
from torch_models import process_state, same, seed_all

from layerviz_callbacks import inspect
from layerviz_callbacks.explaining import Target
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader, attention_listener
from layerviz_callbacks.torch.attention_axes import Order, batch_axes


def attentions(snapshot):
    """By name, what was read of every attention."""
    return {layer.name: layer.attention for layer in snapshot if layer.attention_shape is not None}


def everything(model, **more):
    names = frozenset(name for name, _ in model.named_modules() if name) or frozenset({"nothing"})
    return Request(attention=names, **more)


def only(snapshot):
    ((name, weights),) = attentions(snapshot).items()
    assert snapshot[name].attention_shape == weights.shape
    return weights


# Attention of whole models


def hugging_face_models():
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 20}
    ids = np.random.default_rng(0).integers(2, 40, (3, 6))
    text = {"input_ids": ids, "attention_mask": np.array([[1] * 6, [1] * 4 + [0] * 2, [1] * 6])}
    both = {**text, "decoder_input_ids": ids[:, :4]}
    image = {"pixel_values": np.random.default_rng(1).normal(size=(2, 3, 32, 32)).astype(np.float32)}
    wave = {"input_values": np.random.default_rng(2).normal(size=(2, 200)).astype(np.float32)}
    return {
        "ViT": (transformers.ViTModel, transformers.ViTConfig(**small, image_size=32, patch_size=8), image),
        "BERT": (transformers.BertModel, transformers.BertConfig(**small, vocab_size=40), text),
        "GPT-2": (
            transformers.GPT2Model,
            transformers.GPT2Config(
                vocab_size=40, n_embd=16, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1
            ),
            text,
        ),
        "Llama with grouped queries": (
            transformers.LlamaModel,
            transformers.LlamaConfig(**small, vocab_size=40, num_key_value_heads=2),
            text,
        ),
        "T5 with biases and cross attention": (
            transformers.T5Model,
            transformers.T5Config(vocab_size=40, d_model=16, d_kv=4, d_ff=20, num_layers=2, num_heads=4),
            both,
        ),
        "BART with cross attention": (
            transformers.BartModel,
            transformers.BartConfig(
                vocab_size=40, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
                decoder_attention_heads=4, encoder_ffn_dim=20, decoder_ffn_dim=20, max_position_embeddings=9,
            ),
            both,
        ),
        "SegFormer with fewer keys": (
            transformers.SegformerModel,
            transformers.SegformerConfig(
                num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16],
                num_attention_heads=[2, 4], patch_sizes=[7, 3], strides=[4, 2], mlp_ratios=[2, 2],
            ),
            image,
        ),
        "Wav2Vec2": (
            transformers.Wav2Vec2Model,
            transformers.Wav2Vec2Config(
                **small, conv_dim=(8, 8), conv_stride=(5, 4), conv_kernel=(5, 4), num_conv_pos_embeddings=4,
                num_conv_pos_embedding_groups=2,
            ),
            wave,
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", [
    "ViT", "BERT", "GPT-2", "Llama with grouped queries", "T5 with biases and cross attention",
    "BART with cross attention", "SegFormer with fewer keys", "Wav2Vec2",
])  # fmt: skip
def test_fused_attention_is_that_of_the_same_model_run_eagerly(name):
    kind, config, probe = hugging_face_models()[name]
    config._attn_implementation = "sdpa"
    model = kind(config).eval()
    fused = attentions(inspect(model, probe))
    model.set_attn_implementation("eager")
    written = attentions(inspect(model, probe))
    with torch.no_grad():
        answer = model(**{key: torch.from_numpy(one) for key, one in probe.items()}, output_attentions=True)
    kinds = ("attentions", "encoder_attentions", "decoder_attentions", "cross_attentions")
    wanted = [one.numpy() for key in kinds for one in (answer.get(key) or ())]
    assert len(fused) == len(wanted) == len(written) > 1
    assert list(fused) == list(written)
    for key, weights in fused.items():
        np.testing.assert_allclose(weights, written[key], atol=1e-5)
        near = [one for one in wanted if one.shape == weights.shape and np.abs(one - weights).max() < 1e-5]
        assert len(near) == 1
        wanted = [one for one in wanted if one is not near[0]]
    assert wanted == []


def test_windows_in_the_axis_of_samples_are_refused_in_words():
    transformers = pytest.importorskip("transformers")
    config = transformers.SwinConfig(
        image_size=32, patch_size=2, embed_dim=8, depths=[1], num_heads=[2], window_size=4
    )
    model = transformers.SwinModel(config)
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        snapshot = inspect(model, np.zeros((2, 3, 32, 32), np.float32))
        assert attentions(snapshot) == {}
        (why,) = snapshot.unread.values()
        assert "32 places, and the probe 2 samples: 16 windows" in why


# The functions of PyTorch


def plain(q, k, *, mask=None, causal=False, scale=None):
    scores = q.double() @ k.double().mT * (scale or 1 / math.sqrt(q.shape[-1]))
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype is torch.bool else scores + mask
    return scores.softmax(-1).float().numpy()


class Direct(nn.Module):
    """Calls `scaled_dot_product_attention` with what it is given."""

    def __init__(self, before=lambda one: one, **arguments):
        super().__init__()
        self.before, self.arguments = before, arguments

    def forward(self, q, k, v):
        q, k, v = (self.before(one) for one in (q, k, v))
        return functional.scaled_dot_product_attention(q, k, v, **self.arguments)


def heard(q, k, **arguments):
    snapshot = inspect(Direct(**arguments), {"q": q, "k": k, "v": torch.randn(*k.shape[:-1], 6)})
    return only(snapshot)


def drawn(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


Q, K = drawn(SAMPLES, HEADS, 4, 6), drawn(SAMPLES, HEADS, 7, 6, seed=4)
SEEN = torch.rand(4, 7, generator=torch.Generator().manual_seed(5)) > 0.4
SEEN[:, 0] = True


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {}),
        ({"scale": 0.1}, {"scale": 0.1}),
        ({"is_causal": True}, {"causal": True}),
        ({"attn_mask": SEEN}, {"mask": SEEN}),
        ({"attn_mask": drawn(HEADS, 4, 7)}, {"mask": drawn(HEADS, 4, 7)}),
        ({"attn_mask": SEEN.expand(SAMPLES, 1, 4, 7)}, {"mask": SEEN}),
    ],
)
def test_fused_attention_is_computed_again_with_its_mask_and_its_scale(arguments, expected):
    np.testing.assert_allclose(heard(Q, K, **arguments), plain(Q, K, **expected), atol=1e-6)


def test_grouped_queries_share_their_keys():
    q, k = drawn(SAMPLES, 4, 4, 6), drawn(SAMPLES, 2, 7, 6, seed=4)
    expected = plain(q, k.repeat_interleave(2, 1))
    np.testing.assert_allclose(heard(q, k, enable_gqa=True), expected, atol=1e-6)


def test_keys_that_all_heads_share_are_seen_by_each():
    k = drawn(SAMPLES, 1, 7, 6, seed=4)
    np.testing.assert_allclose(heard(Q, k), plain(Q, k), atol=1e-6)


def test_attention_without_heads_has_one():
    np.testing.assert_allclose(heard(Q[:, 0], K[:, 0]), plain(Q[:, :1], K[:, :1]), atol=1e-6)


def test_a_query_that_sees_nothing_has_no_weights():
    seen = SEEN.clone()
    seen[1] = False
    weights = heard(Q, K, attn_mask=seen)
    assert not weights[:, :, 1].any()
    np.testing.assert_allclose(weights.sum(-1)[:, :, [0, 2, 3]], 1, atol=1e-6)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_as_float32(precision):
    weights = heard(Q, K, before=lambda one: one.to(precision))
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, plain(Q.to(precision), K.to(precision)), atol=1e-6)


def test_nan_is_shown_as_nan():
    def spoiled(one):
        return torch.where(one == Q[0, 0, 0, 0], torch.nan, one)

    weights = heard(Q, K, before=spoiled)
    assert np.isnan(weights[0, 0, 0]).all() and np.isfinite(weights[0, 0, 1:]).all()


class MultiHead(nn.Module):
    def __init__(self, arguments, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(CHANNELS, HEADS, dropout=0.5, **options)
        self.arguments = arguments

    def forward(self, query, key):
        return self.attention(query, key, key, **self.arguments)


PADDING = torch.zeros(SAMPLES, 7, dtype=torch.bool)
PADDING[1, 5:] = True
FLOATS = drawn(SAMPLES * HEADS, TIME, 7, seed=8)


@pytest.mark.parametrize("asked", [
    {"need_weights": False}, {}, {"average_attn_weights": False},
])  # fmt: skip
@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"batch_first": True}, {}),
        ({}, {}),
        ({"batch_first": True}, {"key_padding_mask": PADDING}),
        ({"batch_first": True}, {"attn_mask": ~SEEN[:1].expand(TIME, 7)}),
        ({"batch_first": True}, {"attn_mask": FLOATS}),
        ({"batch_first": True, "add_zero_attn": True}, {"key_padding_mask": PADDING}),
        ({"batch_first": True, "add_bias_kv": True}, {}),
    ],
)
def test_multihead_attention_is_its_own_weights_whatever_it_was_asked_for(options, arguments, asked):
    model = MultiHead({**arguments, **asked}, **options).eval()
    query, key = sequences(), sequences(time=7, seed=2)
    if not options.get("batch_first"):
        query, key = query.transpose(0, 1), key.transpose(0, 1)
    with torch.no_grad():
        full = {**arguments, "need_weights": True, "average_attn_weights": False}
        expected = model.attention(query, key, key, **full)[1].numpy()

    def call(model, inputs):
        inputs = inputs if options.get("batch_first") else [one.transpose(0, 1) for one in inputs]
        return model(*inputs)

    probe = (sequences(), sequences(time=7, seed=2))
    for count in (None, 2):
        reader = TorchReader(model, probe, forward=call)
        snapshot = reader.read(everything(model, attention_samples=count))
        assert list(attentions(snapshot)) == ["attention"]
        assert snapshot["attention"].attention_shape == expected.shape
        np.testing.assert_allclose(snapshot["attention"].attention, expected[:count], atol=1e-6)


def test_attention_from_sample_to_sample_is_refused_and_the_likely_mistake_is_named():
    snapshot = inspect(MultiHead({}), (sequences(), sequences()))  # batch_first is missing
    assert attentions(snapshot) == {}
    assert "batch_first=True missing?" in snapshot.unread["attention of attention"]


def test_attention_without_an_axis_of_samples_is_refused():
    class OneByOne(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(CHANNELS, HEADS)

        def forward(self, x):
            return torch.stack([self.attention(one, one, one)[0] for one in x])

    snapshot = inspect(OneByOne(), sequences())
    assert attentions(snapshot) == {}
    assert set(snapshot.unread) == {f"attention of attention{more}" for more in ("", "#2", "#3")}
    assert "3 samples" in snapshot.unread["attention of attention"]


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_encoder_in_evaluation_mode_shows_each_layers_attention(norm_first):
    layer = nn.TransformerEncoderLayer(CHANNELS, HEADS, 12, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = sequences()
    given = []
    with torch.no_grad():
        for one in model.layers:
            own = one.norm1(x) if norm_first else x
            weights = one.self_attn(own, own, own, average_attn_weights=False)[1]
            given.append(weights.numpy())
            x = one(x)
    found = attentions(inspect(model, sequences()))
    assert list(found) == ["layers.0.self_attn", "layers.1.self_attn"]
    for weights, expected in zip(found.values(), given, strict=True):
        np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_a_transformer_shows_self_and_cross_attention():
    model = nn.Transformer(CHANNELS, HEADS, 1, 1, 12, batch_first=True)
    found = attentions(inspect(model, (sequences(time=6), sequences(time=4, seed=2))))
    assert {name: one.shape for name, one in found.items()} == {
        "encoder.layers.0.self_attn": (SAMPLES, HEADS, 6, 6),
        "decoder.layers.0.self_attn": (SAMPLES, HEADS, 4, 4),
        "decoder.layers.0.multihead_attn": (SAMPLES, HEADS, 4, 6),
    }


def test_flexible_attention_is_refused_in_words():
    flexible = pytest.importorskip("torch.nn.attention.flex_attention").flex_attention

    class Flexible(Projected):
        def attend(self, q, k, v):
            return flexible(q, k, v).transpose(1, 2).flatten(2)

    model = nn.Sequential(Flexible())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snapshot = inspect(model, sequences(time=16))
    assert attentions(snapshot) == {}
    assert "flex_attention" in snapshot.unread["attention of 0"]


# Attention written by hand


class Itself(nn.Module):
    """Attention without parameters, to be counted on paper."""

    def forward(self, x):
        return functional.softmax(x @ x.mT, dim=-1) @ x


def test_the_weights_are_those_that_one_counts_on_paper():
    x = np.array([[[math.sqrt(math.log(3)), 0], [0, 0]]], np.float32)  # scores: log 3, 0; 0, 0
    found = attentions(inspect(nn.Sequential(Itself()), x))
    np.testing.assert_allclose(found["0"], [[[[3 / 4, 1 / 4], [1 / 2, 1 / 2]]]], atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_attention_is_found_however_it_is_written(way):
    model = nn.Sequential(way())
    x = sequences()
    expected = model[0].expected(x)
    for count in (None, 2):
        snapshot = TorchReader(model, x).read(everything(model, attention_samples=count))
        assert list(attentions(snapshot)) == ["0"]
        assert snapshot["0"].attention_shape == (SAMPLES, HEADS, TIME, TIME)
        np.testing.assert_allclose(snapshot["0"].attention, expected[:count], atol=1e-5)


@pytest.mark.parametrize("returns", [False, True])
@pytest.mark.parametrize("width", [None, 3])
def test_additive_self_attention_is_found_once_whether_it_returns_its_weights_or_not(width, returns):
    model = nn.ModuleDict({"attention": Additive(width=width, returns=returns), "head": nn.Linear(8, 2)})

    def forward(model, x):
        found = model["attention"](x)
        return model["head"](found[0] if returns else found)

    x = sequences(time=7)
    snapshot = TorchReader(model, x, forward=forward).read(everything(model))
    found = attentions(snapshot)
    assert list(found) == ["attention"]
    with torch.no_grad():
        expected = model["attention"].weights(x).numpy()[:, None]
    np.testing.assert_allclose(found["attention"], expected, atol=1e-6)
    far = np.abs(np.subtract.outer(np.arange(7), np.arange(7))) > 1
    assert (found["attention"][..., far] == 0).all() == (width == 3)


@pytest.mark.parametrize("way", WAYS_OF_POOLING)
def test_a_weighted_sum_over_time_is_attention_of_one_query(way):
    model = nn.Sequential(Pooling(way))
    with torch.no_grad():
        expected = model[0].score(sequences()).softmax(1).mT[:, None].numpy()
    weights = only(inspect(model, sequences()))
    assert weights.shape == (SAMPLES, 1, 1, TIME)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


class Hidden(nn.Module):
    """Sums up without a product of matrices; tells its weights."""

    def __init__(self, way):
        super().__init__()
        self.query, self.key, self.way = nn.Linear(CHANNELS, 4), nn.Linear(CHANNELS, 4), way
        self.last = None

    def weights(self, x):
        return (self.query(x) @ self.key(x).mT).softmax(-1)

    def forward(self, x):
        weights = self.weights(x)
        found = (weights[..., None] * x[:, None]).sum(2)
        if self.way == "kept":
            self.last = weights
            return found
        return {"tuple": (found, weights), "dict": {"found": found, "weights": weights}}[self.way]


@pytest.mark.parametrize("way", ["kept", "tuple", "dict"])
def test_weights_that_a_layer_returns_or_keeps_are_its_attention(way):
    model = nn.Sequential(Hidden(way))
    reader = TorchReader(model, sequences())
    for _ in range(2):  # searched, then known
        with torch.no_grad():
            model[0].query.weight.mul_(1.5)
            expected = model[0].weights(sequences())[:, None].numpy()
        np.testing.assert_allclose(only(reader.read(everything(model))), expected, atol=1e-6)
    assert model[0].last is None


@pytest.mark.parametrize("kind", NO_ATTENTION)
def test_what_only_looks_like_attention_is_not_called_so(kind):
    assert attentions(inspect(nn.Sequential(Mixing(kind)), sequences())) == {}


def test_a_graph_that_comes_with_the_input_is_no_attention():
    graph = torch.rand(SAMPLES, TIME, TIME) + 0.1
    assert attentions(inspect(Mixing("a graph"), {"x": sequences(), "graph": graph})) == {}


# Which axes are samples and heads


@pytest.mark.parametrize(
    ("batch", "heads", "head_first", "expected"),
    [
        ((4,), 0, False, (Order.SAMPLE, 1)),
        ((4, 3), 0, False, (Order.SAMPLE_HEAD, 3)),
        ((4, 4), 0, False, (Order.SAMPLE_HEAD, 4)),
        ((3, 4), 0, False, (Order.HEAD_SAMPLE, 3)),
        ((12,), 0, False, (Order.SAMPLE_TIMES_HEAD, 3)),
        ((12,), 3, True, (Order.HEAD_TIMES_SAMPLE, 3)),
        ((4, 2, 3), 6, False, (Order.SAMPLE_HEAD, 6)),
        ((8, 4), 8, False, (Order.HEAD_SAMPLE, 8)),
        ((8, 4), 0, False, "2 windows"),  # as well windows of four heads
        ((24,), 3, False, "2 windows"),
        ((256, 3), 0, False, "64 windows"),
        ((4, 2, 3), 0, False, "num_heads"),
        ((5, 3), 0, False, "none of the axes (5, 3)"),
        ((), 0, False, "none of the axes ()"),
    ],
)
def test_samples_and_heads_are_told_apart_or_refused(batch, heads, head_first, expected):
    layer = nn.Identity()
    layer.num_heads = heads
    axes = batch_axes(batch, 4, layer, head_first=head_first)
    if isinstance(expected, str):
        assert expected in axes
    else:
        assert (axes.order, axes.heads) == expected


def test_of_folded_axes_the_first_samples_are_taken():
    numbers = torch.arange(6).reshape(6, 1, 1)
    by_sample = batch_axes((6,), 3, None, head_first=False).taken(numbers, 2)
    by_head = batch_axes((6,), 3, None, head_first=True).taken(numbers, 2)
    assert by_sample[..., 0, 0].tolist() == [[0, 1], [2, 3]]
    assert by_head[..., 0, 0].tolist() == [[0, 3], [1, 4]]


# Names, and what is read


def test_weights_that_are_used_twice_are_one_attention():
    class UsedTwice(Projected):
        def attend(self, q, k, v):
            weights = (q @ k.mT).softmax(-1)
            return (weights @ v + weights.mT.mT @ (v * 2)).transpose(1, 2).flatten(2)

    assert list(attentions(inspect(nn.Sequential(UsedTwice()), sequences()))) == ["0"]


class Twice(nn.Module):
    """Two attentions in one call."""

    def forward(self, x):
        x = functional.scaled_dot_product_attention(x, x, x)
        return functional.softmax(x @ x.mT, -1) @ x


def test_a_second_attention_of_a_call_and_a_second_call_have_names_of_their_own():
    model = nn.ModuleDict({"twice": Twice(), "head": nn.Linear(CHANNELS, 2)})
    reader = TorchReader(
        model, sequences(), forward=lambda model, x: model["head"](model["twice"](model["twice"](x)))
    )
    snapshot = reader.read(everything(model))
    names = ["twice", "twice#2", "twice.attention 2", "twice#2.attention 2"]
    assert list(attentions(snapshot)) == names
    assert [snapshot[name].part_of for name in names] == ["", "twice", "twice", "twice"]
    assert {snapshot[name].place for name in names} == {1}
    further = snapshot["twice.attention 2"]
    assert further.kind == "Twice" and further.output_shape is None and further.kernel_shape is None
    assert not np.allclose(snapshot["twice"].attention, further.attention)


class Classifier(nn.Module):
    """Attends in its own forward."""

    def __init__(self):
        super().__init__()
        self.score, self.head = nn.Linear(CHANNELS, 1), nn.Linear(CHANNELS, 2)

    def forward(self, x):
        return self.head((self.score(x).softmax(1) * x).sum(1))


def test_attention_that_the_model_computes_itself_comes_last_under_its_class_name():
    snapshot = inspect(Classifier(), sequences())
    layer = snapshot["Classifier"]
    assert layer.attention.shape == (SAMPLES, 1, 1, TIME)
    assert layer.place == 3 and layer.container and list(snapshot.layers)[-1] == "Classifier"
    assert "not called" not in snapshot.summary()


def test_shapes_come_without_weights_and_weights_only_where_they_are_asked_for():
    model = nn.Sequential(Fused(), ByMatmul())
    reader = TorchReader(model, sequences())
    shapes = reader.read(Request())
    assert [layer.attention_shape for layer in shapes if layer.attention_shape] == [(3, 2, 5, 5)] * 2
    assert all(layer.attention is None for layer in shapes)
    snapshot = reader.read(Request(attention=frozenset({"1"}), attention_samples=2))
    assert snapshot["0"].attention is None and snapshot["0"].attention_shape == (3, 2, 5, 5)
    assert snapshot["1"].attention.shape == (2, 2, 5, 5) and snapshot["1"].attention_shape == (3, 2, 5, 5)
    again = reader.read(Request(kernels=frozenset({"0.query"})))  # the model is not run
    assert again["1"].attention is None and again["1"].attention_shape == (3, 2, 5, 5)


def test_later_steps_show_the_weights_of_their_own_time():
    model = nn.Sequential(Fused(), ByMatmul())
    reader = TorchReader(model, sequences())
    first = reader.read(everything(model))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
        between = model[0](sequences())
    second = reader.read(everything(model))
    np.testing.assert_allclose(second["0"].attention, model[0].expected(sequences()), atol=1e-5)
    np.testing.assert_allclose(second["1"].attention, model[1].expected(between), atol=1e-5)
    assert not np.allclose(first["1"].attention, second["1"].attention)


def test_too_many_weights_are_not_read_and_their_number_is_told(monkeypatch):
    monkeypatch.setattr(attention_listener, "MOST_WEIGHTS", 2 * HEADS * TIME * TIME)
    model = nn.Sequential(Fused())
    snapshot = inspect(model, sequences())
    assert snapshot["0"].attention is None and snapshot["0"].attention_shape == (3, 2, 5, 5)
    assert "3 x 2 x 5 x 5 weights, and no more than 100" in snapshot.unread["attention of 0"]
    fewer = TorchReader(model, sequences()).read(everything(model, attention_samples=2))
    assert fewer["0"].attention.shape == (2, 2, 5, 5) and not fewer.unread


def test_large_attention_is_computed_sample_by_sample_and_is_the_same(monkeypatch):
    from layerviz_callbacks.torch import attention_scores

    at_once = heard(Q, K, attn_mask=SEEN)
    monkeypatch.setattr(attention_scores, "_AT_ONCE", 1)
    np.testing.assert_allclose(heard(Q, K, attn_mask=SEEN), at_once, atol=1e-7)


def test_a_layer_that_is_skipped_at_a_later_step_says_so():
    model = nn.Sequential(Fused(), ByMatmul())
    skip = []
    model[1].register_forward_pre_hook(lambda module, args: args)
    reader = TorchReader(model, sequences(), forward=lambda model, x: model[0](x) if skip else model(x))
    reader.read(Request())
    skip.append(True)
    snapshot = reader.read(everything(model))
    assert snapshot["0"].attention is not None and snapshot["1"].attention is None
    assert snapshot.unread == {"attention of 1": "it was not computed in this pass"}


def test_a_product_that_later_stands_where_attention_stood_is_not_taken_for_it():
    class Changes(Projected):
        mixes = False

        def attend(self, q, k, v):
            if self.mixes:
                return (q @ v.mT).mT @ v
            return softmax_of(q, k) @ v

    model = nn.Sequential(Changes())
    reader = TorchReader(model, sequences())
    assert only(reader.read(everything(model))).shape == (SAMPLES, HEADS, TIME, TIME)
    model[0].mixes = True
    assert reader.read(everything(model))["0"].attention is None


def test_attention_that_has_become_sharp_or_not_a_number_is_still_shown():
    model = nn.Sequential(ByMatmul())
    reader = TorchReader(model, sequences())
    reader.read(Request())
    with torch.no_grad():
        model[0].query.weight.mul_(1e6)
    weights = only(reader.read(everything(model)))
    assert set(np.unique(weights)) == {0, 1}
    with torch.no_grad():
        model[0].query.weight.fill_(torch.nan)
    assert np.isnan(only(reader.read(everything(model)))).all()


# Nothing is changed


class Watching(nn.Module):
    """Notes how many modes see its functions."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        LISTENING.append(torch._C._len_torch_function_stack())
        return self.inner(x)


LISTENING = []


@pytest.mark.parametrize(("inner", "later"), [(Fused, 1), (lambda: nn.Linear(CHANNELS, 2), 0)])
def test_nobody_listens_where_nothing_is_asked_for_or_nothing_was_found(inner, later):
    LISTENING.clear()
    model = nn.Sequential(Watching(inner()))
    reader = TorchReader(model, sequences())
    reader.read(Request())
    reader.read(Request(outputs=frozenset({"0"})))
    reader.read(everything(model))
    reader.read(Request(attention=frozenset({"0"})))  # which has none of its own
    before = torch._C._len_torch_function_stack()
    assert [count - before for count in LISTENING] == [1, 0, later, 0]


class Small(nn.Module):
    """Fused, written by hand and of PyTorch, with dropout."""

    def __init__(self):
        super().__init__()
        self.fused, self.written, self.pool = Fused(), ByMatmul(), Pooling("times and sum")
        self.encoder = nn.TransformerEncoderLayer(CHANNELS, HEADS, 12, dropout=0.3, batch_first=True)
        self.head = nn.Linear(CHANNELS, 2)

    def forward(self, x):
        return self.head(self.pool(self.encoder(self.written(self.fused(x)))))


def test_the_models_answer_is_bit_identical_whether_it_is_listened_to_or_not():
    seed_all()
    model = Small()
    reader = TorchReader(model, sequences())
    names = frozenset(name for name, _ in model.named_modules() if name)
    searched = reader.read(Request(outputs=names, attention=names))
    silent = reader.read(Request(outputs=names))
    known = reader.read(Request(outputs=names, attention=names))
    assert len(attentions(searched)) == 4
    for name in names:
        for other in (searched, known):
            assert same(silent[name].output, other[name].output)
    assert same(dict(silent.outputs), dict(searched.outputs))
    assert same(dict(silent.outputs), dict(known.outputs))
    assert same(attentions(searched), attentions(known))


def test_training_with_attention_read_at_each_step_is_the_same_bit_for_bit():
    def trained(*, read):
        seed_all()
        model = Small()
        optimizer = torch.optim.Adam(model.parameters())
        x, y = sequences(12), torch.arange(12) % 2
        reader, losses = TorchReader(model, x[:2]), []
        for _ in range(4):
            if read:
                snapshot = reader.read(everything(model))
                assert len(attentions(snapshot)) == 4 and not snapshot.unread
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return {
            "weights": dict(model.state_dict()),
            "gradients": [parameter.grad for parameter in model.parameters()],
            "modes": [module.training for module in model.modules()],
            "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
            "losses": losses,
            "process": process_state(),
        }

    assert same(trained(read=True), trained(read=False))


def graphs():
    """The tensors that hold on to a graph now."""
    gc.collect()
    return {id(one) for one in gc.get_objects() if type(one) is torch.Tensor and one.grad_fn is not None}


def test_attention_beside_gradients_is_the_same_and_holds_on_to_no_graph():
    model = Small()
    reader = TorchReader(model, sequences())
    alone = reader.read(everything(model))
    before = graphs()
    target = Target(0)
    both = reader.read(everything(model, gradients={target: frozenset({"fused", "encoder"})}))
    assert both["fused"].gradients[target].any() and both["encoder"].gradients[target].any()
    assert same(attentions(both), attentions(alone))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert graphs() <= before


def test_a_listener_that_fails_leaves_the_model_alone_and_says_why(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(attention_listener.ScaledDotProduct, "weights", fail)
    model = nn.Sequential(Fused())
    snapshot = inspect(model, sequences())
    assert snapshot["0"].output is not None and snapshot["0"].attention is None
    assert "no such luck" in snapshot.unread["attention of 0"]


def test_a_model_that_fails_and_goes_on_does_not_mix_up_its_layers():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Fused()

        def forward(self, x):
            self.inner(x)
            raise ValueError

    class GoesOn(nn.Module):
        def __init__(self):
            super().__init__()
            self.fails, self.works = Fails(), ByMatmul()

        def forward(self, x):
            try:
                return self.fails(x)
            except ValueError:
                return self.works(x)

    found = attentions(inspect(nn.Sequential(GoesOn()), sequences()))
    assert list(found) == ["0.fails.inner", "0.works"]


# Wrapped and compiled models


def test_a_compiled_or_wrapped_model_shows_its_attention_under_its_own_names():
    model = nn.Sequential(Fused(), ByMatmul())
    compiled = torch.compile(model, backend="eager")
    compiled(sequences())
    for wrapped in (compiled, nn.DataParallel(model)):
        found = attentions(inspect(wrapped, sequences()))
        assert list(found) == ["0", "1"]
        np.testing.assert_allclose(found["0"], model[0].expected(sequences()), atol=1e-5)


def test_attention_in_a_checkpointed_block_is_heard_once():
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = ByMatmul()

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=False)

    assert list(attentions(inspect(nn.Sequential(Checkpointed()), sequences()))) == ["0.inner"]


def test_attention_under_autocast_is_that_of_the_numbers_it_was_given():
    model = nn.Sequential(Fused())

    def forward(model, x):
        with torch.autocast("cpu", torch.bfloat16):
            return model(x)

    found = attentions(TorchReader(model, sequences(), forward=forward).read(everything(model)))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        layer, x = model[0], sequences()
        q, k = (one(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for one in (layer.query, layer.key))
    assert q.dtype is torch.bfloat16
    np.testing.assert_allclose(found["0"], plain(q, k), atol=1e-6)

    def cast_inside(model, inputs):
        with torch.autocast("cpu", torch.bfloat16):
            return model(**inputs)

    probe = {"q": Q, "k": K, "v": K}
    weights = only(TorchReader(Direct(), probe, forward=cast_inside).read(Request()))
    np.testing.assert_allclose(weights, plain(Q.bfloat16(), K.bfloat16()), atol=1e-6)
    assert np.abs(weights - plain(Q, K)).max() > 1e-4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_block_of_torchscript_hides_its_attention_and_nothing_else():
    model = nn.Sequential(torch.jit.trace(Fused(), sequences()), ByMatmul())
    found = attentions(inspect(model, sequences()))
    assert list(found) == ["1"]
    with torch.no_grad():
        np.testing.assert_allclose(found["1"], model[1].expected(model[0](sequences())), atol=1e-5)
