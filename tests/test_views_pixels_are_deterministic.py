import numpy as np
from view_models import convolve, gabors, layer, shapes, snapshot

from layerviz_callbacks.views import Filters, default_views


def test_the_same_snapshot_gives_the_same_bytes():
    images = shapes()
    kernel = gabors(8, 5)
    shown = snapshot(layer(kernel=kernel, output=convolve(images, kernel)), inputs=images)
    first, second = (
        [picture.png() for view in default_views() for picture in view.draw(shown)] for _ in range(2)
    )
    assert len(first) == 4  # filters, feature maps, a film strip and the health of layers
    assert first == second


def test_a_sheet_keeps_its_size_over_the_epochs():
    sizes = {
        Filters().draw(snapshot(layer(kernel=gabors(8, 5) * scale), when=f"epoch {epoch}/12"))[0].size
        for epoch, scale in enumerate([1e-3, 1, 1e3])
    }
    assert len(sizes) == 1


def test_arrays_that_are_views_of_others_are_drawn_alike():
    kernel = gabors(8, 6)
    strided = np.asfortranarray(kernel)
    np.testing.assert_array_equal(
        Filters().draw(snapshot(layer(kernel=strided)))[0].pixels,
        Filters().draw(snapshot(layer(kernel=kernel)))[0].pixels,
    )
