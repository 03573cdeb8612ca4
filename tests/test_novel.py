"""novel: a text cut in parts, files larger than memory, the tied model, the command."""

import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import torch
from torch import nn

from lecture_utils import corpora, novel
from lecture_utils.checkpoints import load_model
from lecture_utils.corpora import CorpusError
from lecture_utils.files import save_atomically
from lecture_utils.models import TiedWordModel
from lecture_utils.sampling import continue_text
from lecture_utils.vocabulary import UNK, Vocabulary, split_words, without_yo, word_parts

TEXT = corpora.story_text().text[:60_000]


@pytest.fixture(scope="module")
def corpus():
    return novel.divide(TEXT)


@pytest.fixture
def model(corpus):
    torch.manual_seed(0)
    return novel.build(corpus, embedding_size=16, hidden_size=24)


# Parts of words


def test_forms_share_beginnings_and_words_share_endings():
    left, right = set(word_parts("Княгиня")), set(word_parts("княгиню"))
    assert "княгин-" in left & right and "⟨capital⟩" in left - right
    assert "-ого" in set(word_parts("доброго")) & set(word_parts("другого"))
    assert word_parts("…") == [] and word_parts("в") == ["в"]


def test_parts_of_a_single_word_get_no_number():
    rows = Vocabulary([UNK, "дом", "Дом", "…"]).parts()
    assert rows[0] == rows[3] == [0] * len(rows[1]) and len({len(row) for row in rows}) == 1
    assert rows[1] == rows[2] == [2, 1]  # «-м» and «дом»; the capital is only in one
    assert Vocabulary(["дом", "лес"]).parts() == [[0], [0]]


# The tied model


def test_the_tied_model_starts_from_the_frequencies(corpus):
    torch.manual_seed(0)
    model = novel.build(corpus, embedding_size=16).eval()
    nn.init.zeros_(model.words), nn.init.zeros_(model.parts)
    with torch.no_grad():
        probs = model(torch.tensor([[1, 2]]))[0][0, -1].exp()
    counts = corpus.train.bincount(minlength=len(probs)) + 0.5
    torch.testing.assert_close(probs, counts / counts.sum(), rtol=1e-4, atol=1e-6)


def test_forms_of_a_word_learn_from_each_other(corpus, model):
    ids = corpus.vocabulary.index
    x = torch.tensor([[ids["княгиня"]]])
    model.eval().features(x)[0].sum().backward()
    moved = model.words - model.words.grad  # a step along the gradient
    with torch.no_grad():
        model.parts -= model.parts.grad
    assert (moved != model.words)[ids["княгиню"]].sum() == 0
    assert not torch.equal(model.table()[ids["княгиню"]], moved[ids["княгиню"]])


def test_a_dropout_mask_is_the_same_for_a_whole_window(model):
    model.train()
    x = model._locked_dropout(torch.ones(4, 50, 16), 0.5)
    assert (x == x[:, :1]).all() and set(x.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(x[0], x[1])


def test_the_recipe_beats_the_trigram_on_the_story():
    from lecture_utils.metrics import KneserNey, perplexity

    corpus = novel.divide(TEXT)
    model, _ = novel.train_novel(corpus, novel.recipe(150), batch_size=8)
    n_gram = KneserNey(3, len(corpus.vocabulary)).fit([corpus.train.tolist()])
    baseline = perplexity(n_gram.nats([corpus.valid.tolist()]))
    assert novel.held_out(model, corpus.valid) < baseline


# Other texts read before the novel


OTHERS = ["Жил-был ёж. Жил-был ёж. Ёж ел.", "Ёжик жил-был."]


def test_other_texts_are_read_before_the_first_part_of_the_novel():
    alone, both = novel.divide(TEXT), novel.read_before(OTHERS, TEXT)
    others = [word for text in OTHERS for word in split_words(text.replace("ё", "е"))]
    assert len(both.train) == len(others) + len(alone.train)
    assert [len(part) for part in both[2:]] == [len(part) for part in alone[2:]]
    assert both.vocabulary.decode(both.train[:3].tolist()) == [UNK, UNK, "."]  # seen twice


def test_what_the_novel_alone_knows_is_known_still():
    alone, both = novel.divide(TEXT).vocabulary, novel.read_before(OTHERS, TEXT).vocabulary
    assert {token.replace("ё", "е").replace("Ё", "Е") for token in alone.tokens} <= {*both.tokens}
    assert "жил-был" not in both and both.find("ёлка") == both.find("елка")


def test_all_of_tolstoy_needs_the_novel_itself(monkeypatch):
    monkeypatch.setenv("LECTURE_NOVEL", "story")
    with pytest.raises(CorpusError, match="tolstoy нужна сама «Анна Каренина»"):
        novel.find_corpus("tolstoy", ".")


def test_the_more_there_is_to_read_the_less_is_dropped(corpus, monkeypatch):
    monkeypatch.setattr(novel, "LONG", {"hidden_size": 24, "dropout": (0.1, 0.2)})
    monkeypatch.setattr(novel, "MUCH", len(corpus.train) - 1)
    model, _ = novel.train_novel(corpus, novel.recipe(1), batch_size=4)
    assert model.dropout == (0.1, 0.2)


def test_of_a_wide_vocabulary_only_frequent_words_have_vectors_of_their_own(corpus, monkeypatch):
    monkeypatch.setattr(novel, "OWN", 40)
    model = novel.build(corpus, embedding_size=16, hidden_size=24)
    assert len(model.words) == 40 and len(model.table()) == len(corpus.vocabulary) > 80
    fewer = torch.tensor(corpus.vocabulary.parts(least=4))
    assert torch.equal(model.parts_of, fewer.int())


def test_the_ready_network_is_small_keeps_its_parts_and_writes():
    model, vocabulary = novel.load_pretrained()
    assert novel.PRETRAINED.stat().st_size <= 12_000_000
    assert model.parts is not None and len(vocabulary) > 30_000
    text = continue_text(model, vocabulary, "Алёша вошёл", 12, seed=1, top_p=0.9)[0]
    assert len(split_words(text)) == 14


# Files larger than memory


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_file_gives_the_same_ids_as_the_text_in_memory(file, corpus, monkeypatch):
    chunks = novel._chunks
    monkeypatch.setattr(novel, "_chunks", lambda ids: chunks(ids, size=1000))
    mapped = novel.divide_file(file, file.parent)
    assert mapped.vocabulary.tokens == corpus.vocabulary.tokens
    for part in ("train", "valid", "test"):
        assert getattr(mapped, part).tolist() == getattr(corpus, part).tolist()


def test_the_ids_leave_no_file_behind(file):
    corpus = novel.divide_file(file, file.parent)
    assert len(corpus.train) and [path.name for path in file.parent.iterdir()] == ["text.txt"]


def test_letters_written_as_two_signs_are_the_same_letters(file):
    file.write_text(unicodedata.normalize("NFD", TEXT + " Чужой йод, чужой йод."), encoding="utf-8")
    words = novel.divide_file(file, file.parent).vocabulary.tokens
    assert words == novel.divide(TEXT + " Чужой йод, чужой йод.").vocabulary.tokens


def test_training_reads_the_ids_from_the_disk(file):
    mapped = novel.divide_file(file, file.parent)
    in_memory = novel.divide(TEXT)
    losses = [
        novel.train_novel(c, novel.recipe(2), batch_size=4)[1].loss for c in (mapped, in_memory)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("content", "said"), [("Привет".encode("cp1251") * 99, "UTF-8"), (b"", "почти нет слов")]
)
def test_a_file_that_is_no_text_is_named_and_leaves_nothing(tmp_path, content, said):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=rf"bad\.txt.*{said}"):
        novel.divide_file(path, tmp_path)
    assert list(tmp_path.iterdir()) == [path]


# Command line


def words(*arguments):
    return novel.main(["--steps", "2", "--batch-size", "4", *map(str, arguments)])


def test_a_run_from_the_command_line_leaves_weights_and_says_how_good_they_are(file, capsys):
    weights = file.parent / "w.pt"
    assert words("--corpus", file, "--output", weights) == 0
    assert re.search(r"w\.pt\. .* перплексия на проверке \d+,\d\d\.", capsys.readouterr().out)
    model, vocabulary = load_model(weights)
    assert isinstance(model, TiedWordModel) and model.parts is not None
    assert continue_text(model, vocabulary, "Однажды", 12, temperature=0)


def test_a_short_text_is_not_learned_by_heart(tmp_path, capsys):
    (tmp_path / "short.txt").write_text(TEXT[:8_000], encoding="utf-8")
    where = ("--corpus", tmp_path / "short.txt", "--output", tmp_path / "w.pt")
    assert novel.main([*map(str, where), "--minutes", "14", "--batch-size", "8"]) == 0
    said = capsys.readouterr().out
    score = re.search(r"на проверке (\d+),", said)[1]
    assert "только зубрит: взяты лучшие веса" in said
    assert int(score) < len(load_model(tmp_path / "w.pt")[1])  # to the end, it would be thousands


@pytest.fixture
def refused(file, capsys):
    """Run, and assert: one sentence that says it, status 2, nothing overwritten."""

    def run(said, *arguments):
        files = lambda: {p: p.read_bytes() for p in file.parent.rglob("*") if p.is_file()}
        before = files()
        assert words("--output", file.parent / "refused.pt", *arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert said in error[-1] and sum("шаг" not in line for line in filter(None, error)) == 1
        assert files() == before

    return run


@pytest.mark.slow
def test_a_small_remake_of_the_ready_network_gains_by_the_other_texts(tmp_path, monkeypatch):
    """Its command with the tale in place of Tolstoy; the novel alone is read as many steps."""
    tale = corpora.story_text().text.splitlines()
    text, others = "\n".join(tale[:800]), ["\n".join(tale[800:4000]), "\n".join(tale[4000:7000])]
    monkeypatch.setattr(novel, "all_tolstoy", lambda: (others, text))
    (tmp_path / "alone.txt").write_text(without_yo(text), encoding="utf-8")
    nets = []
    for corpus in ("tolstoy", str(tmp_path / "alone.txt")):
        weights = str(tmp_path / f"{Path(corpus).stem}.pt")
        where = ["--corpus", corpus, "--output", weights, "--checkpoint", f"{weights}.run"]
        assert novel.main([*where, "--resume", "--steps", "200", "--batch-size", "8"]) == 0
        nets.append(load_model(weights))
    words = split_words(without_yo(text))
    held_out = [word for word in words[len(words) * 8 // 10 :] if word in nets[1][1]]
    both, alone = (novel.held_out(net, torch.tensor(v.encode(held_out))) for net, v in nets)
    assert both < 0.9 * alone


def test_an_unknown_corpus_is_refused(refused):
    refused("Корпуса «novell» нет", "--corpus", "novell")


def test_a_file_that_cannot_be_read_as_text_is_refused(refused, tmp_path):
    (tmp_path / "noise.txt").write_bytes(bytes(range(128)) * 99)
    refused("двоичный", "--corpus", tmp_path / "noise.txt")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1251"])
def test_a_file_is_read_in_the_encodings_that_the_notebook_reads(file, corpus, encoding):
    file.write_text(TEXT, encoding=encoding)
    found = novel.find_corpus(str(file), file.parent)
    assert found.vocabulary.tokens == corpus.vocabulary.tokens
    assert found.train.tolist() == corpus.train.tolist()


def test_a_file_too_large_for_memory_is_read_line_by_line(file, corpus, monkeypatch):
    monkeypatch.setattr(novel, "IN_MEMORY", file.stat().st_size - 1)
    monkeypatch.delattr(novel, "read_text")  # which would read it whole
    assert novel.find_corpus(str(file), file.parent).train.tolist() == corpus.train.tolist()


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_refused(refused, file):
    file.chmod(0)
    refused("нельзя прочесть", "--corpus", file)


def test_a_place_that_cannot_be_written_is_refused_by_the_command(file, capsys):
    assert words("--corpus", file, "--output", file.parent / "absent" / "w.pt") == 2
    assert "нельзя записать" in capsys.readouterr().err


def test_more_processes_than_streams_are_refused(refused, file, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    refused("--batch-size 4 не делится на число процессов 8", "--corpus", file)


def test_a_checkpoint_of_another_vocabulary_is_refused(refused, file):
    run = file.parent / "run.pt"
    assert words("--corpus", file, "--checkpoint", run, "--output", file.parent / "w.pt") == 0
    other = file.parent / "other.txt"
    other.write_text(TEXT.replace(",", ";"), encoding="utf-8")  # the same ids
    refused("другими настройками (data)", "--corpus", other, "--checkpoint", run, "--resume")


def test_a_run_is_gone_on_with_only_where_that_is_asked(refused, file, capsys):
    run, weights = file.parent / "run.pt", file.parent / "w.pt"
    asked = ("--corpus", file, "--checkpoint", run)
    assert words(*asked, "--output", weights) == 0
    refused("уже есть: чтобы продолжить прежнее обучение, добавьте --resume", *asked)
    assert words(*asked, "--resume", "--output", weights) == 0
    refused("назовите его в --checkpoint", "--corpus", file, "--resume")


def test_a_first_run_that_is_asked_to_go_on_says_that_it_begins(file, capsys):
    run, weights = file.parent / "absent.pt", file.parent / "w.pt"
    assert words("--corpus", file, "--resume", "--checkpoint", run, "--output", weights) == 0
    assert "absent.pt ещё нет: обучение начинается с начала" in capsys.readouterr().out


def test_weights_are_not_overwritten_without_a_word(refused, file, capsys):
    weights = file.parent / "w.pt"
    weights.write_bytes(b"old")
    refused("w.pt уже есть", "--corpus", file, "--output", weights)
    absent = ("--resume", "--checkpoint", file.parent / "absent.pt")  # nothing to go on from
    refused("w.pt уже есть", "--corpus", file, "--output", weights, *absent)


def test_a_run_can_be_prolonged_and_says_what_that_means(file, capsys):
    run, weights = file.parent / "run.pt", file.parent / "w.pt"
    asked = ("--corpus", file, "--checkpoint", run, "--output", weights)
    assert words(*asked) == 0
    two = int(re.search(r"знаков: (\d+)", capsys.readouterr().out)[1])
    assert words(*asked, "--steps", "4", "--resume") == 0
    said = capsys.readouterr().out
    assert "продолжается после шага 2" in said and "lr) убывает к концу" in said
    assert int(re.search(r"знаков: (\d+)", said)[1]) == 2 * two
    assert words(*asked, "--steps", "3", "--resume") == 0  # it is over: nothing is lost
    assert f"знаков: {2 * two}" in capsys.readouterr().out


def test_a_full_disk_at_the_end_is_told_in_sentences(full_disk, tmp_path, capsys):
    text = tmp_path / "short.txt"
    text.write_text(" ".join(split_words(TEXT)[:1500]), encoding="utf-8")
    weights, run = tmp_path / "w.pt", tmp_path / "run.pt"
    with full_disk(20_000):
        assert words("--corpus", text, "--output", weights, "--checkpoint", run) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line and "шаг" not in line]
    assert "run.pt записать не удалось" in said[0] and "w.pt веса записать не удалось" in said[1]
    assert "Освободите место на диске" in said[-1] and len(said) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["short.txt"]


def test_weights_that_do_not_fit_go_to_another_folder(file, capsys, monkeypatch, tmp_path_factory):
    elsewhere, save = tmp_path_factory.mktemp("elsewhere"), novel.save_model
    monkeypatch.setattr(novel, "gettempdir", lambda: str(elsewhere))

    def full(path, *arguments, **options):
        if Path(path).parent != elsewhere:
            raise OSError(28, "No space left on device")
        save(path, *arguments, **options)

    monkeypatch.setattr(novel, "save_model", full)
    assert words("--corpus", file, "--output", file.parent / "w.pt") == 0
    said = capsys.readouterr()
    assert "записать не удалось: No space" in said.err and f"записаны в {elsewhere}" in said.out
    load_model(elsewhere / "w.pt")


def test_a_file_that_an_antivirus_holds_is_renamed_later(tmp_path, monkeypatch):
    rename, held = os.replace, iter([True, True])

    def replace(*paths):
        if next(held, False):
            raise PermissionError(13, "Access is denied")
        rename(*paths)

    monkeypatch.setattr(os, "replace", replace)
    save_atomically({"a": 1}, tmp_path / "w.pt")
    assert torch.load(tmp_path / "w.pt", weights_only=True) == {"a": 1}


@pytest.mark.parametrize("encoding", ["cp1251", "cp866", "cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize(
    ("arguments", "kept"),
    [(["--help"], "--corpus"), (["--corpus", "⟨нет⟩"], "story."), (["--steps", "0"], "--steps 0")],
)
def test_a_console_without_the_sign_loses_the_sign_only(encoding, arguments, kept, tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "lecture_utils.novel", *arguments]
    run = subprocess.run(command, env=environment, capture_output=True, cwd=tmp_path, timeout=120)
    assert run.returncode == (0 if arguments == ["--help"] else 2)
    said = (run.stdout + run.stderr).decode(encoding)
    assert "Traceback" not in said and kept in said


def test_a_checkpoint_that_cannot_be_written_is_refused(refused, file):
    refused("нельзя записать", "--corpus", file, "--checkpoint", file.parent / "absent" / "run.pt")


def test_a_short_text_is_refused_in_the_words_of_the_command(refused, file):
    file.write_text(" ".join(split_words(TEXT)[:1000]), encoding="utf-8")
    refused("при --batch-size 32 нужно не меньше 1402", "--corpus", file, "--batch-size", 32)


def test_the_shortest_text_that_is_admitted_can_be_trained_on(file, capsys):
    file.write_text(" ".join(split_words(TEXT)[:177]), encoding="utf-8")
    assert words("--corpus", file, "--output", file.parent / "w.pt") == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((o, "0") for o in ("--every", "--steps", "--batch-size", "--threads")),
        *[("--minutes", "-3.0"), ("--minutes", "nan"), ("--every", "-1")],
    ],
)
def test_a_bad_number_is_told_with_the_name_of_its_option(option, value, refused):
    refused(f"{option} {value}: нужно число больше 0", option, value)


def test_a_novel_that_is_not_there_is_one_sentence_and_status_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LECTURE_NOVEL", str(tmp_path / "absent.txt"))
    assert novel.main(["--output", str(tmp_path / "w.pt")]) == 2
    error = capsys.readouterr().err
    assert "absent.txt" in error and error.count("\n") == 1 and not any(tmp_path.iterdir())


# Several processes


def torchrun(count: int, code: str, *arguments) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--local-addr=localhost"]  # a bare machine need not know its own name
    command += [f"--nproc-per-node={count}", "--no-python", sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(list(map(str, command)), check=True, env=environment, capture_output=True)


def test_an_unreadable_corpus_is_one_sentence_of_several_processes(tmp_path):
    (tmp_path / "noise.txt").write_bytes(bytes(range(128)) * 99)
    code = "import sys; from lecture_utils.novel import main; sys.exit(main(sys.argv[1:]))"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        torchrun(2, code, "--corpus", tmp_path / "noise.txt", "--output", tmp_path / "w.pt")
    said = caught.value.stderr.decode()
    assert said.count("noise.txt» двоичный") == 1
    assert "lecture_utils/" not in said  # what follows is torchrun's own report
    assert [path.name for path in tmp_path.iterdir()] == ["noise.txt"]


FIFTY_STEPS = """
import json, pathlib, sys, torch
import torch.distributed as dist
from lecture_utils.batching import StreamBatches
from lecture_utils.models import TiedWordModel, WordModel
from lecture_utils.distributed import together
from lecture_utils.training import Plan, train

path, kind, stop = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
ids = torch.randint(60, (9000,), generator=torch.Generator().manual_seed(1)) ** 2 // 60
with together():
    torch.manual_seed(0)
    if kind == "adaptive":
        model = WordModel(60, 16, 16, cutoffs=[20, 40])
    else:
        parts = torch.randint(9, (60, 3))
        model = TiedWordModel(60, 16, 16, [20, 40], parts, dropout=(0, 0), word_dropout=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    asked = lambda history, model: len(history.loss) == stop
    history = train(model, StreamBatches(ids, 8, 10), optimizer,
                    Plan(50, clip=0.5, decay=True, every=20),
                    valid=StreamBatches(ids[:500], 1, 50), callbacks=[asked],
                    checkpoint=path + ".pt")
    if not dist.is_initialized() or dist.get_rank() == 0:
        json.dump([history.loss, history.valid_loss, history.grad_norm], open(path, "w"))
left = [name.read_text() for name in pathlib.Path("/proc/self/task").glob("*/comm")]  # on Linux
assert not [name for name in left if "gloo" in name]  # threads that could abort Python's exit
"""


@pytest.mark.parametrize("kind", ["adaptive", "tied"])
def test_two_processes_have_the_losses_of_one(tmp_path, kind):
    import json

    torchrun(2, FIFTY_STEPS, tmp_path / "two", kind, 0)
    command = [sys.executable, "-c", FIFTY_STEPS, str(tmp_path / "one"), kind, "0"]
    subprocess.run(command, check=True)
    two, one = (json.loads(Path(tmp_path / name).read_text()) for name in ("two", "one"))
    assert len(one[0]) == 50 and one[0][-1] < one[0][0]
    for mine, theirs in zip(two, one, strict=True):
        torch.testing.assert_close(torch.tensor(mine), torch.tensor(theirs), atol=1e-5, rtol=0)


def test_a_checkpoint_that_only_one_machine_has_is_refused_by_all(tmp_path):
    code = """
import sys, torch
from lecture_utils.batching import StreamBatches
from lecture_utils.models import WordModel
from lecture_utils.distributed import place, together
from lecture_utils.training import Plan, train

with together():
    model, path = WordModel(9, 8, 8), f"{sys.argv[1]}/{place()[0]}.pt"
    batches, said = StreamBatches(torch.arange(900) % 9, 8, 10), ""
    adam = torch.optim.Adam(model.parameters())
    again = lambda: train(model, batches, adam, Plan(2), checkpoint=path)
    again()
    try:
        again()
    except ValueError as error:
        said = str(error)
    assert "есть не на всех машинах" in said, said
"""
    torchrun(2, code, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0.pt"]


@pytest.mark.slow
def test_two_processes_stop_together_and_one_goes_on_from_their_checkpoint(tmp_path):
    import json

    torchrun(2, FIFTY_STEPS, tmp_path / "run", "adaptive", 7)
    assert len(json.loads((tmp_path / "run").read_text())[0]) == 7
    torchrun(2, FIFTY_STEPS, tmp_path / "run", "adaptive", 0)
    command = [sys.executable, "-c", FIFTY_STEPS, str(tmp_path / "one"), "adaptive", "0"]
    subprocess.run(command, check=True)
    resumed, one = (json.loads((tmp_path / name).read_text())[0] for name in ("run", "one"))
    torch.testing.assert_close(torch.tensor(resumed), torch.tensor(one), atol=1e-5, rtol=0)
