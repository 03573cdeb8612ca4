"""batching: what is input, what is target, what does not count."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lecture_utils.batching import NameBatches, StreamBatches, pad_names


def test_streams_of_range_12():
    batches = StreamBatches(range(12), batch_size=2, seq_len=3)
    first, second = (batches.batch(0, k) for k in range(len(batches)))
    assert first.x.tolist() == [[0, 1, 2], [5, 6, 7]]
    assert first.y.tolist() == [[1, 2, 3], [6, 7, 8]]
    assert second.x.tolist() == [[3, 4], [8, 9]]
    assert second.y.tolist() == [[4, 5], [9, 10]]


sizes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(0, 40))


@given(sizes)
def test_every_target_is_the_true_next_token_once(size):
    batch_size, seq_len, extra = size
    length = batch_size * seq_len + 1 + extra
    batches = StreamBatches(range(length), batch_size, seq_len)
    windows = [batches.batch(0, k) for k in range(len(batches))]
    assert all((w.y == w.x + 1).all() for w in windows)  # no wrap round to the beginning
    seen = sorted(int(t) for w in windows for t in w.y.flatten())
    assert seen == list(range(1, len(seen) + 1)) and length - len(seen) <= batch_size


@given(sizes)
def test_a_row_goes_on_where_it_stopped(size):
    batch_size, seq_len, extra = size
    batches = StreamBatches(range(batch_size * seq_len + 1 + extra), batch_size, seq_len)
    windows = [batches.batch(0, k) for k in range(len(batches))]
    for before, after in pairwise(windows):
        assert torch.equal(before.y[:, -1], after.x[:, 0])


def test_a_text_shorter_than_one_batch_is_refused_with_its_size():
    with pytest.raises(ValueError, match=r"в нём 6 слов.*нужно не меньше 7"):
        StreamBatches(range(6), batch_size=2, seq_len=3)


@pytest.mark.parametrize("bad", [{"batch_size": 0, "seq_len": 3}, {"batch_size": 2, "seq_len": 0}])
def test_sizes_below_one_are_refused(bad):
    with pytest.raises(ValueError, match="не меньше 1"):
        StreamBatches(range(100), **bad)


names = st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=7), min_size=1, max_size=20)


@given(names)
def test_padded_names_lose_nothing_and_add_nothing_that_counts(sequences):
    x, y, mask = pad_names(sequences)
    for row, sequence in enumerate(sequences):
        assert x[row][mask[row]].tolist() == sequence[:-1]
        assert y[row][mask[row]].tolist() == sequence[1:]
    assert mask.sum() == sum(len(sequence) - 1 for sequence in sequences)
    assert (y[~mask] == 0).all()


@given(names, st.integers(1, 6), st.integers(0, 3))
def test_each_epoch_shows_each_name_once_in_a_reproducible_order(sequences, batch_size, epoch):
    def shown():
        batches = NameBatches(sequences, batch_size, seed=1)
        rows = []
        for number in range(len(batches)):
            x, y, mask = batches.batch(epoch, number)
            ends = [[*a[m], b[m][-1]] for a, b, m in zip(x, y, mask, strict=True)]
            rows += [[int(t) for t in row] for row in ends]
        return rows

    assert sorted(shown()) == sorted(sequences)
    assert shown() == shown()


def test_epochs_differ_in_order():
    batches = NameBatches([[k, k] for k in range(1, 30)], batch_size=30)
    assert batches.batch(0, 0).x.tolist() != batches.batch(1, 0).x.tolist()


def test_no_names_no_batches():
    with pytest.raises(ValueError, match="пуст"):
        NameBatches([], 4)


def test_a_fingerprint_tells_data_and_cut_apart():
    prints = {
        StreamBatches(range(100), 2, 5).fingerprint(),
        StreamBatches(range(100), 2, 6).fingerprint(),
        StreamBatches(range(1, 101), 2, 5).fingerprint(),
        NameBatches([[1, 2]], 1).fingerprint(),
        NameBatches([[1, 2]], 1, seed=1).fingerprint(),
    }
    assert len(prints) == 5


def test_processes_share_the_streams_and_see_every_word_once():
    whole = StreamBatches(range(41), 4, 3)
    shares = [whole.share(rank, 2) for rank in range(2)]
    for number in range(len(whole)):
        together = torch.cat([share.batch(0, number).x for share in shares])
        assert torch.equal(together, whole.batch(0, number).x)


def test_streams_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"Потоков 4, а процессов 3"):
        StreamBatches(range(41), 4, 3).share(0, 3)


def test_a_window_of_an_array_on_disk_is_read_when_asked_for(tmp_path):
    np.arange(41, dtype=np.int32).tofile(tmp_path / "ids.bin")
    mapped = np.memmap(tmp_path / "ids.bin", dtype=np.int32, mode="c")
    stream, same = StreamBatches(torch.from_numpy(mapped), 4, 3), StreamBatches(range(41), 4, 3)
    assert stream.y.data_ptr() == torch.from_numpy(mapped).data_ptr() + 4  # nothing is copied
    assert torch.equal(stream.batch(0, 1).y, same.batch(0, 1).y)
    assert stream.fingerprint() == same.fingerprint()


def test_names_are_learned_by_one_process_and_several_are_told_so():
    batches = NameBatches([[1, 2, 0]], 1)
    assert batches.share(0, 1) is batches
    with pytest.raises(ValueError, match=r"Процессов 2.*без torchrun"):
        batches.share(1, 2)


def test_the_same_ids_of_other_words_are_other_data():
    one, other = (StreamBatches([1, 2, 3], 1, 2, tokens) for tokens in (["а", "б"], ["а", "в"]))
    assert one.fingerprint() != other.fingerprint()
    assert one.fingerprint() == StreamBatches([1, 2, 3], 1, 2, ["а", "б"]).fingerprint()


@given(st.integers(2, 3000), st.integers(1, 20), st.integers(1, 600))
def test_any_text_can_be_scored(length, batch_size, seq_len):
    batches = StreamBatches.to_score(range(length), batch_size, seq_len)
    scored = sum(batches.batch(0, k).y.numel() for k in range(len(batches)))
    assert scored > length - 1 - batch_size and batches.seq_len <= seq_len
    if length >= 2 * batch_size * seq_len:
        assert batches.x.shape[0] == batch_size and batches.seq_len == seq_len
