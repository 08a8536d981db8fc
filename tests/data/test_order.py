from collections import Counter

from tanren.data.order import EpochOrder, shelves_of, shuffled, training_shelves, validation_batches
from tanren.data.records import CaptionCount, ImageRecord, Scan, ScannedDataset
from tanren.options.dataset_plan import DatasetPlan


def images(*buckets, repeats=1):
    return [
        ImageRecord("f", f"{n}.png", (64, 64), "", "file", repeats, 0, False, bucket, bucket)
        for n, bucket in enumerate(buckets)
    ]


def dataset(records, batch_size=2, validation=()):
    plan = DatasetPlan(subsets=(), resolution_wh=(64, 64), batch_size=batch_size)
    return ScannedDataset(plan, records, list(validation), [], CaptionCount())


A, B = (64, 64), (64, 128)


def test_every_draw_comes_once_and_batches_mix_neither_buckets_nor_datasets():
    scan = Scan((dataset(images(A, A, B, A, B, repeats=3)), dataset(images(A, A), batch_size=4)))
    order = EpochOrder(training_shelves(scan), seed=1, epoch=0)

    draws = Counter()
    for plan in order:
        records = scan.datasets[plan.dataset].images
        assert {records[place].bucket_wh for place, _ in plan.samples} == {plan.bucket_wh}
        draws.update((plan.dataset, place, repeat) for place, repeat in plan.samples)

    assert set(draws.values()) == {1}
    assert len(draws) == 5 * 3 + 2
    assert sorted((plan.dataset, plan.bucket_wh, len(plan.samples)) for plan in order) == [
        (0, A, 1),
        *[(0, A, 2)] * 4,
        *[(0, B, 2)] * 3,
        (1, A, 2),
    ]
    assert len(order) == scan.batches_per_epoch() == 9


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    shelves = shelves_of(images(*[A] * 20, *[B] * 7), 0, 3)

    def plans(seed, epoch):
        return [plan.samples for plan in EpochOrder(shelves, seed, epoch)]

    assert plans(1, 4) == plans(1, 4)
    assert plans(1, 4) != plans(1, 5)
    assert plans(1, 4) != plans(2, 4)


def test_shuffles_are_the_same_on_every_machine():
    assert shuffled(8, 42).tolist() == [4, 1, 3, 6, 0, 7, 2, 5]
    assert shuffled(0, 1).tolist() == []


def test_every_place_is_equally_likely():
    firsts = Counter(int(shuffled(5, seed)[0]) for seed in range(2000))

    assert all(320 <= firsts[place] <= 480 for place in range(5))


def test_validation_batches_keep_their_order():
    plans = validation_batches(Scan((dataset([], validation=images(A, B, A, A)),)))

    assert [(plan.bucket_wh, plan.samples, plan.is_validation) for plan in plans] == [
        (A, ((0, 0), (2, 0)), True),
        (A, ((3, 0),), True),
        (B, ((1, 0),), True),
    ]


def test_slices_give_lists():
    order = EpochOrder(shelves_of(images(*[A] * 6), 0, 2), 0, 0)

    assert order[1:] == [order[1], order[2]]
