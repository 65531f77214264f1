"""Which candidates get the costly steps."""

from math import nan

from matwheel.potentials.selection import nearest_to_hull, random_sample

IDS = [f"c{number:02d}" for number in range(40)]


def test_a_sample_is_seeded_ordered_and_without_repeats():
    drawn = random_sample(IDS, 15, seed=3)
    assert len(set(drawn)) == 15 and drawn == sorted(drawn)
    assert drawn == random_sample(IDS, 15, seed=3) != random_sample(IDS, 15, seed=4)
    # The order of the candidates stays, whatever it is.
    assert random_sample(IDS[::-1], 15, seed=3) == sorted(random_sample(IDS[::-1], 15, seed=3), reverse=True)


def test_a_sample_of_at_least_all_is_all():
    assert random_sample(IDS, 40, seed=1) == random_sample(IDS, 99, seed=1) == IDS
    assert random_sample([], 5, seed=1) == [] == random_sample(IDS, 0, seed=1)


def test_every_candidate_is_drawn_equally_often():
    counts = dict.fromkeys(IDS, 0)
    for seed in range(2000):
        for name in random_sample(IDS, 10, seed):
            counts[name] += 1
    # Binomial with mean 500 and deviation 19.
    assert all(abs(count - 500) < 5 * 19 for count in counts.values())


def test_the_nearest_come_first_and_the_threshold_is_included():
    energies = {"far": 0.11, "edge": 0.1, "on": 0.0, "below": -0.2, "tie": 0.0, "none": nan}
    ids = ["far", "edge", "tie", "none", "on", "unknown", "below"]
    assert nearest_to_hull(ids, energies, 0.1) == ["below", "tie", "on", "edge"]
    assert nearest_to_hull(["edge", "on"], energies, 0.1) == ["on", "edge"]
    assert nearest_to_hull(ids, {}, 0.1) == []


def test_each_has_its_own_threshold():
    """Layers may lie higher than crystals; the nearest to what is allowed come first."""
    energies = {"bulk": 0.08, "high bulk": 0.12, "layer": 0.15, "high layer": 0.21}
    limits = {"bulk": 0.1, "high bulk": 0.1, "layer": 0.2, "high layer": 0.2}
    assert nearest_to_hull(list(energies), energies, limits) == ["bulk", "layer"]
