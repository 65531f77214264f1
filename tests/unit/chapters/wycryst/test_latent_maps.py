"""The plane of the first two principal components."""

import numpy as np
import pytest

from matwheel.chapters.wycryst.latent_maps import latent_plane


def cloud(deviations=(3.0, 2.0, 1.0, 0.5), rows=400, seed=0):
    """Uncorrelated columns of exactly these deviations, turned at random."""
    generator = np.random.default_rng(seed)
    plain = generator.normal(size=(rows, len(deviations)))
    left, _, _ = np.linalg.svd(plain - plain.mean(axis=0), full_matrices=False)
    turn, _ = np.linalg.qr(generator.normal(size=(len(deviations),) * 2))
    return left * np.sqrt(rows) * np.array(deviations) @ turn + 5.0


def test_components_are_those_of_the_singular_values():
    latents = cloud()
    points, shares = latent_plane(latents)
    left, lengths, axes = np.linalg.svd(latents - latents.mean(axis=0), full_matrices=False)
    for axis in range(2):
        loading = axes[axis]
        sign = np.sign(loading[np.abs(loading).argmax()])
        np.testing.assert_allclose(points[:, axis], sign * left[:, axis] * lengths[axis], atol=1e-9)
    assert shares == pytest.approx([9 / 14.25, 4 / 14.25])
    np.testing.assert_allclose(points.std(axis=0), [3.0, 2.0])


def test_the_largest_loading_of_each_axis_is_positive_whatever_the_order_of_rows():
    latents = cloud(seed=3)
    points, _ = latent_plane(latents)
    loadings = (latents - latents.mean(axis=0)).T @ points
    for axis in range(2):
        assert loadings[np.abs(loadings[:, axis]).argmax(), axis] > 0
    np.testing.assert_allclose(latent_plane(latents[::-1])[0][::-1], points, atol=1e-9)
    # The mirror image is drawn as the mirror image, not turned back.
    np.testing.assert_allclose(latent_plane(-latents)[0], -points, atol=1e-9)
    assert np.array_equal(latent_plane(latents)[0], points)


def test_of_two_loadings_of_one_size_the_first_is_positive():
    line = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    for slope in (-1.0, 1.0):
        points, shares = latent_plane(np.stack([line, slope * line], axis=1) + 0.1)
        np.testing.assert_allclose(points[:, 0], np.sqrt(2) * line, atol=1e-12)
        assert shares == pytest.approx([1.0, 0.0]) and min(shares) >= 0


@pytest.mark.parametrize("rows", [1, 7, 10])
def test_vectors_that_are_alike_lie_in_one_point_without_variance(rows):
    points, shares = latent_plane(np.tile([0.1, 0.2, 0.7], (rows, 1)))  # their mean is not exactly theirs
    assert np.array_equal(points, np.zeros((rows, 2))) and shares == [0.0, 0.0]


def test_a_column_that_does_not_vary_changes_nothing():
    latents = cloud()
    points, shares = latent_plane(latents)
    wider, same_shares = latent_plane(np.insert(latents, 1, 0.1, axis=1))
    np.testing.assert_allclose(wider, points, atol=1e-9)
    assert same_shares == pytest.approx(shares)


def test_single_precision_is_taken():
    latents = cloud().astype(np.float32)
    points, shares = latent_plane(latents)
    assert points.dtype == np.float64 and points.shape == (400, 2)
    assert all(isinstance(share, float) for share in shares)
    assert np.array_equal(points, latent_plane(latents.astype(np.float64))[0])
