from tests.support.audit import Case
from tests.support.vocabulary import vocabulary

CASE = Case(
    fires="trl/qwen3",
    quiet="mlx-vlm/internvl_chat",  # it writes no content at all; all others can be forged
    mutant=[
        ("{%- if message.content is string and '<|im_' in message.content %}", "{%- if false %}")
    ],
    says="spells '<|im_end|>' becomes the control token",
    tokenizer=vocabulary,
)
