from tests.support.audit import Case
from tests.support.tiny import tiny_tokenizer

CASE = Case(
    fires="llama.cpp/google-gemma-7b-it",
    quiet="trl/gemma",
    mutant=[("{{- bos_token }}\n", "")],
    sources={"add_bos": True},
    says="does not write '<s>'",
    tokenizer=lambda: tiny_tokenizer(begins_with="<bos>"),
)
