"""Texts that stop before their end, and whole ones that only look so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic.endings import ends_open, is_cut


@pytest.mark.parametrize(
    "text",
    [
        "Cities should limit cars. They should also look at the",
        "Cities should limit cars. They should also look at buses and then per",
        "Cities should limit cars in the old town and in the new one by steps of some ki",
        "Cities should limit cars, and",
        "Cities should limit cars,",
        "Here is how it is done:",
        "Limit the cars (as in",
        "Each closure should follow a well-",
        "Limit cars.\n\nThis also means",
        "Do this:\n\n1. Stop traffic.\n2. Issue permits.\n3.",
        "Do this:\n\n1. Stop traffic.\n2. Issue permits.\n3. Open the li",
        "Do this:\n\n- Stop traffic\n- Issue permits (carers",
        "Do this:\n\n- `make test`\n- `make li",
        "Yes.\n\n- **Permits**: for carers.\n- **Tra",
        "Use this:\n```python\nprint('cars')",
        "Use this:\n~~~\nx\n~~~\nand\n~~~\ny",
        "| a | b |\n|---|---|\n| c | d",
        "城市应当限制汽车。同时还需要考虑",
        "城市应当限制汽车，",
        "限制汽车。正如他说的「任务",
        "車を制限すべきだ。しかし同時に交通の便を",
        "도시는 자동차를 제한해야 한다. 그러나 동시에 대중교통을 먼저 늘리고 그 다음에 도로를 닫",
        "Города должны ограничить движение. Начать стоит с автоматической регистрации всех ав",
        "शहरों में कारें सीमित हों। इसके साथ ही शहरों को अपने बजट में बसों की",
        "Die Stadt muss handeln. Sie sollte zuerst die Straßenbahn bauen und dann erst die",
    ],
)
def test_cut(text: str) -> None:
    assert is_cut(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes.",
        "Yes",
        "Option A",
        "Vitamin A",
        "Limit cars in the centre",
        "Grade: B-",
        "**Limit cars.**",
        "“Limit cars.”",
        "Limit cars (in the centre).",
        "Limit cars (in the centre)",
        "Limit the cars. The share of streets to close in the first phase is 40",
        "Limit the cars. The plan should begin after the summer of 2027",
        "Limit the cars. A full account of the plan stands at https://example.org/plan",
        "Limit the cars. Write to all of us at plan@example.org",
        "Streets belong to people. Stop the traffic, keep permits, bring the tram. #CarFreeCentre",
        "Limit them 🙂",
        "Dear Council,\n\nLimit cars.\n\nBest regards,\nAnna Smith",
        "Dear Council,\n\nLimit cars.\n\nKind regards,",
        "I wish it were otherwise. It is not :(",
        "Do this:\n\n- Close the centre\n- Keep buses running through the old town of the city",
        "Do this:\n\n1. **Traffic**: stop it.\n2. **Permits**: for carers.",
        "Use this:\n\n```python\nprint('cars')\n```",
        "Run this each night to be sure: `make test`",
        "| a | b |\n|---|---|\n| c | d |",
        "Rewrite only if $p > c$",
        "Bottom line: limit cars in the centre but not in the suburbs",
        "A word once given is a thread\nthat others hold when you are gone\nbut should it choke\nyou may let it go",
        "限制汽车，并给予豁免",
        "限制汽车，并给予豁免。",
        "限制汽车（参见报告）",
        "選べる標準服への移行が望ましい",
        "ควรทำเป็นขั้นตอน เริ่มจากเพิ่มรถเมล์ แล้วจึงจำกัดรถ โดยมีใบอนุญาต และผู้ค้า รวมทั้งคนพิการ ในเมือง ด้วย",
        "Nein, denn der Name täuscht. Es ist, wie einer sagte, „gut gemeint und schlecht gerechnet“",
        "And so on...",
        '{"decision": "keep", "months": 6}',
    ],
)
def test_whole(text: str) -> None:
    assert not is_cut(text)


@pytest.mark.parametrize("text", ["Streets and the", "A ban, ", "```\ncode", "as said (", "words, **", "two words and"])
def test_sections_may_end_open_too(text: str) -> None:
    assert ends_open(text) or len(text.split()) < 3


@given(st.text())
def test_every_text_ends_somehow(text: str) -> None:
    assert is_cut(text) in (True, False)
    if ends_open(text):
        assert is_cut(text)
