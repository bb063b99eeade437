"""`suffix`: the prompt for what stands between two texts, where the model has tokens for it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from functions.inference.engine.jobs import Job
from functions.inference.errors import ContextTooLong, InvalidRequest
from functions.inference.models.catalogue import CatalogueModel
from functions.inference.openai.requests import CompletionRequest
from functions.inference.web.job_builder import completion_jobs
from tests.unit.inference import small_vocab

BOS, PRE, SUF, MID = 1, 3, 4, 5  # bytes that no test writes stand in for the model's infill tokens


def model_of(path: Path, **tokens: int) -> Any:
    small_vocab.write(path, {f"tokenizer.ggml.fim_{name}_token_id": token for name, token in tokens.items()})
    vocab = small_vocab.load(path)
    vocab.context_tokens = 64
    return SimpleNamespace(vocab=vocab, entry=CatalogueModel(name="small", description="", license=""))


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return model_of(tmp_path / "small.gguf", pre=PRE, suf=SUF, mid=MID)


def jobs(model: Any, **fields: Any) -> list[Job]:
    return completion_jobs(CompletionRequest(model="small", **fields), model, 16)


def test_the_prompt_says_what_stands_before_and_after(model: Any) -> None:
    before, after = (model.vocab.tokenize(text) for text in ("hi", "</hi>"))
    (job,) = jobs(model, prompt="hi", suffix="</hi>")
    assert job.prompt == (BOS, PRE, *before, SUF, *after, MID)
    listed = jobs(model, prompt=[[7, 8], []], suffix="hi", n=2)
    assert [one.prompt for one in listed[::2]] == [(BOS, PRE, *own, SUF, *before, MID) for own in ([7, 8], [])]


def test_an_empty_suffix_is_none(model: Any) -> None:
    assert jobs(model, prompt="hi", suffix="")[0].prompt == jobs(model, prompt="hi")[0].prompt


def test_names_of_infill_tokens_in_a_text_are_text(model: Any) -> None:
    (job,) = jobs(model, prompt="hi<0x00>", suffix="<0x01><0x02>")
    assert [job.prompt.count(token) for token in (PRE, SUF, MID)] == [1, 1, 1]


def test_a_model_without_all_three_tokens_says_so(tmp_path: Path) -> None:
    for number, tokens in enumerate(({}, {"pre": PRE, "suf": SUF})):
        with pytest.raises(InvalidRequest, match="no infill tokens") as refused:
            jobs(model_of(tmp_path / f"{number}.gguf", **tokens), prompt="hi", suffix="hi")
        assert refused.value.param == "suffix"


def test_what_does_not_go_with_a_suffix_is_refused(model: Any) -> None:
    with pytest.raises(InvalidRequest, match="echo") as refused:
        jobs(model, prompt="hi", suffix="hi", echo=True)
    assert refused.value.param == "echo"
    with pytest.raises(ContextTooLong) as too_long:
        jobs(model, prompt="hi", suffix="hi" * 1000)
    assert too_long.value.param == "suffix"
