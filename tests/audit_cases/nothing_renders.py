from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/fireworks-ai-llama-3-firefunction-v2",
    quiet="trl/qwen3",
    mutant=[("{{- bos_token }}", "{{- bos_token + names.assistant }}")],
    says="names",
    harmless=[
        "{% for d in documents %}{{ d.text }}{% endfor %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
