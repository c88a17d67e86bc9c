import numpy as np
import pytest

from layerviz_callbacks import Layer, Probe, SelectionError, Snapshot, inspect
from layerviz_callbacks.errors import ArgumentError


def snapshot():
    batch = np.zeros((2, 4, 4, 1))
    layers = {
        "conv<1>": Layer(
            "conv<1>", "Conv2D", 1, parameters=1020, kernel_shape=(2, 1, 3, 3), output_shape=(2, 4, 4, 2)
        ),
        "late": Layer("late", "Dense", 2),
    }
    return Snapshot(layers, Probe(batch), {"input": batch}, when="epoch 3/5")


def test_the_summary_is_a_table_of_names_shapes_and_parameters():
    assert snapshot().summary().splitlines() == [
        "layer    kind    kernel (out, in, *space)  output (sample, *space, channel)  parameters",
        "-" * 87,
        "conv<1>  Conv2D  (2, 1, 3, 3)              (2, 4, 4, 2)                           1,020",
        "late     Dense                             not called                                 0",
        "-" * 87,
        "1,020 parameters",
    ]


def test_in_a_notebook_it_is_a_table_and_names_cannot_inject_html():
    page = snapshot()._repr_html_()
    assert "<td style='text-align:left'>conv&lt;1&gt;</td>" in page
    assert "conv<1>" not in page
    assert "epoch 3/5" in page


def test_an_unknown_layer_is_answered_with_the_nearest():
    with pytest.raises(SelectionError, match="Did you mean 'late'"):
        snapshot()["latte"]


def test_inspect_refuses_what_is_no_model():
    with pytest.raises(ArgumentError, match=r"a Keras model or a torch\.nn\.Module"):
        inspect({"not": "a model"}, np.zeros((1, 2)))
