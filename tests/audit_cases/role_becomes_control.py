from tests.support.audit import Case

CASE = Case(
    fires="axolotl/exaone",
    quiet="unsloth/mistral",  # refuses roles that it does not know
    mutant=[("{%- if '<' in message.role %}", "{%- if false %}")],
    says="A role that holds '<|im_end|>'",
    harmless=[
        # Tokens for roles that it knows.
        "{% for m in messages %}{{ {'user': '<|user|>', 'assistant': '<|bot|>'}[m.role] }}"
        "{{ m.content }}<|end|>{% endfor %}",
        # The role's words stand beside a token, and are written as JSON.
        "{% for m in messages %}<|start|>{{ m.role | replace('<', '') }}<|sep|>{{ m.content }}<|end|>"
        "{% endfor %}",
    ],
    harmful=[
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}<|end|>{% endfor %}",
        "{% for m in messages %}<|{{ m.role | upper }}|>{{ m.content }}<|end|>{% endfor %}",
    ],
)
