"""Hugging Face models, tiny and without a network: every layer that is called is heard."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from layerviz_callbacks.torch import inspect

transformers = pytest.importorskip("transformers")

IMAGES = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
WORDS = np.random.default_rng(0).integers(0, 50, size=(2, 7))
WAVES = np.random.default_rng(0).normal(size=(2, 800)).astype(np.float32)
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@dataclasses.dataclass(frozen=True)
class Family:
    """One kind of model: how it is built, what it is shown, and which layers give its hidden states.

    Attributes:
        model: the class of the model.
        config: its class.
        options: what makes it tiny.
        probe: the inputs.
        states: names of layers by their place in that field.
        field: what of the model's output holds the hidden states.
    """

    model: str
    config: str
    options: dict[str, Any]
    probe: Any
    states: dict[int, str]
    field: str = "hidden_states"


FAMILIES = [
    Family(
        "ResNetModel", "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2], "layer_type": "basic"},
        {"pixel_values": IMAGES}, {0: "embedder", 1: "encoder.stages.0", 2: "encoder.stages.1"},
    ),
    Family(
        "ViTModel", "ViTConfig", {**SMALL, "image_size": 32, "patch_size": 8},
        {"pixel_values": IMAGES}, {0: "embeddings"},
    ),
    Family(
        "ConvNextModel", "ConvNextConfig",
        {"hidden_sizes": [6, 12], "depths": [1, 1], "num_stages": 2, "image_size": 32},
        {"pixel_values": IMAGES}, {1: "encoder.stages.0", 2: "encoder.stages.1"},
    ),
    Family(
        "SwinModel", "SwinConfig",
        {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2],
         "window_size": 4},
        {"pixel_values": IMAGES}, {0: "embeddings"},
    ),
    Family(
        "SegformerModel", "SegformerConfig",
        {"num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [8, 16],
         "patch_sizes": [3, 3], "strides": [2, 2], "num_attention_heads": [1, 2], "mlp_ratios": [2, 2]},
        {"pixel_values": IMAGES}, {},
    ),
    Family(
        "BertModel", "BertConfig", {**SMALL, "vocab_size": 50},
        {"input_ids": WORDS}, {0: "embeddings", 1: "encoder.layer.0", 2: "encoder.layer.1"},
    ),
    Family(
        "GPT2Model", "GPT2Config", {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 50},
        {"input_ids": WORDS}, {0: "drop", 1: "h.0", 2: "ln_f"},
    ),
    Family(
        "Wav2Vec2Model", "Wav2Vec2Config",
        {**SMALL, "conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3),
         "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2},
        {"input_values": WAVES}, {0: "encoder.dropout", 1: "encoder.layers.0"},
    ),
    Family(
        "WhisperModel", "WhisperConfig",
        {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "vocab_size": 50,
         "num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 10, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
        {"input_features": IMAGES[:, 0, :8].repeat(2, axis=2)[:, :, :40].copy(),
         "decoder_input_ids": WORDS},
        {1: "encoder.layer_norm"}, field="encoder_hidden_states",
    ),
]  # fmt: skip


def build(family):
    torch.manual_seed(0)
    config = getattr(transformers, family.config)(**family.options)
    return getattr(transformers, family.model)(config)


def tensors_of(family):
    return {name: torch.as_tensor(value) for name, value in family.probe.items()}


def called_layers(model, family):
    """The layers with a kernel that a forward pass calls, by the model's own counting."""
    called = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in model.named_modules()
        if isinstance(module, (_ConvNd, nn.Linear)) or type(module).__name__ == "Conv1D"
    ]
    states = hidden_states(model, family)
    for handle in handles:
        handle.remove()
    return called, states


def hidden_states(model, family):
    model.eval()
    with torch.no_grad():
        output = model(**tensors_of(family), output_hidden_states=True)
    model.train()
    return [state.numpy() for state in output[family.field]]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model)
def test_every_layer_that_is_called_is_heard_with_the_models_own_hidden_states(family):
    model = build(family)
    called, states = called_layers(model, family)
    snapshot = inspect(model, family.probe)
    assert len(set(called)) > 3
    for name in called:
        assert snapshot[name].output is not None and snapshot[name].kernel is not None, name
        assert np.isfinite(snapshot[name].output).all()
    for place, name in family.states.items():
        state = states[place] if states[place].ndim == 3 else np.moveaxis(states[place], 1, -1)
        np.testing.assert_allclose(snapshot[name].output, state, rtol=1e-4, atol=1e-5, err_msg=name)
    heard_again = [layer.name for layer in snapshot if "#" in layer.name and layer.base_name in called]
    assert len(heard_again) == len(called) - len(set(called))


TABLES = {
    "ViTModel": {
        "embeddings.cls_token": lambda state: state["embeddings.cls_token"],
        "embeddings.position_embeddings": lambda state: state["embeddings.position_embeddings"][0].T,
    },
    "BertModel": {
        "embeddings.word_embeddings": lambda state: state["embeddings.word_embeddings.weight"].T,
        "embeddings.position_embeddings": lambda state: state["embeddings.position_embeddings.weight"].T,
    },
    "GPT2Model": {
        "wte": lambda state: state["wte.weight"].T,
        "h.0.attn.c_attn": lambda state: state["h.0.attn.c_attn.weight"].T,  # a Linear, stored (in, out)
    },
    "WhisperModel": {"decoder.embed_tokens": lambda state: state["decoder.embed_tokens.weight"].T},
}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_and_tokens_of_a_model_are_kernels(name):
    family = next(family for family in FAMILIES if family.model == name)
    model = build(family)
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    snapshot = inspect(model, family.probe)
    for key, expected in TABLES[name].items():
        np.testing.assert_array_equal(snapshot[key].kernel, expected(state), err_msg=key)


def test_the_position_tables_of_swin_are_read():
    model = build(next(family for family in FAMILIES if family.model == "SwinModel"))
    snapshot = inspect(model, {"pixel_values": IMAGES})
    tables = [value.numpy() for key, value in model.state_dict().items() if "position_bias_table" in key]
    kernels = [layer.kernel for layer in snapshot if layer.kernel is not None]
    assert len(tables) == 2
    for table in tables:
        assert any(np.array_equal(kernel, table) or np.array_equal(kernel, table.T) for kernel in kernels)


@pytest.mark.filterwarnings("ignore:.*checkpointing.*:FutureWarning")
def test_gradient_checkpointing_of_the_library_changes_nothing():
    family = next(family for family in FAMILIES if family.model == "BertModel")
    plain, checkpointed = build(family), build(family)
    checkpointed.gradient_checkpointing_enable()
    expected, read = inspect(plain, family.probe), inspect(checkpointed, family.probe)
    assert list(read.layers) == list(expected.layers)
    for layer in expected:
        if layer.output is not None:
            np.testing.assert_array_equal(read[layer.name].output, layer.output, err_msg=layer.name)
    assert checkpointed.training and checkpointed.is_gradient_checkpointing
