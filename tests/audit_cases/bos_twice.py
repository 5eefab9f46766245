from tests.support.audit import Case
from tests.support.tiny import tiny_tokenizer

CASE = Case(
    fires="trl/gemma",  # once, and its tokenizer adds another one
    quiet="llama.cpp/google-gemma-7b-it",
    mutant=[("{{- bos_token }}\n", "{{- bos_token + bos_token }}\n")],
    says="writes '<s>' twice",
    tokenizer=lambda: tiny_tokenizer(begins_with="<bos>"),
    harmless=[
        # One for every question, as Llama 2 has it.
        "{% for m in messages %}{{ bos_token }}[INST] {{ m.content }} [/INST]{% endfor %}",
    ],
)
