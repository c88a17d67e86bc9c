from dataclasses import replace

import numpy as np
from fakes import CountingReader, Kernels, Shapes

from layerviz_callbacks import Layer
from layerviz_callbacks.coverage import coverage
from layerviz_callbacks.request import Request


def snapshot(**more):
    read = CountingReader().read(Request())
    return replace(read, layers={**read.layers, **more})


def test_a_layer_counts_as_pictured_when_one_view_draws_it_and_the_other_is_named():
    covered = coverage(snapshot(), [(Shapes(), None), (Kernels(), None)])
    assert covered.pictured == ("conv1", "head")
    assert covered.partial == {("head", "shapes"): "too deep"}
    assert covered.line().startswith("2 of 3 layers pictured; 1 not: pool (")
    assert covered.line().endswith("; no shapes of head (too deep)")


def test_what_could_not_be_read_is_named_with_the_readers_reason():
    broken = Layer("fused", "Dense", 4, kernel_shape=(2, 2), refusal="it calls no hooks")
    covered = coverage(snapshot(fused=broken), [(Kernels(), None)])
    assert "fused" in covered.pictured  # this view draws whatever it is given
    odd = replace(broken, kernel_shape=None)
    assert coverage(snapshot(fused=odd), [(Kernels(), None)]).missing["fused"] == "it calls no hooks"


def test_containers_are_not_counted_unless_chosen():
    block = Layer("block", "Sequential", 4, container=True, output_shape=(2, 4))
    assert "block" not in coverage(snapshot(block=block), [(Shapes(), None)]).missing
    chosen = coverage(snapshot(block=block), [(Shapes(), frozenset({"block"}))])
    assert chosen.pictured == ("block",)
    assert chosen.line() == "1 of 1 chosen layers pictured"


def test_a_probe_that_cannot_be_pictured_is_named():
    beyond = replace(snapshot(), inputs={"input": np.zeros((2, 4, 4, 4, 4, 1))})
    assert (
        coverage(beyond, [(Shapes(), None)])
        .line()
        .endswith("no picture of the probe's input (4-D inputs are not drawn yet)")
    )


def test_names_cannot_break_the_table():
    odd = Layer("a|b<script>\nc", "Dense", 4)
    table = coverage(snapshot(odd=odd), [(Kernels(), None)]).markdown()
    assert "| a\\|b&lt;script&gt; c | not pictured" in table
