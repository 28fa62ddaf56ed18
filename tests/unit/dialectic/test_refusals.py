"""Refusals in many languages, and arguments that only sound like one."""

from __future__ import annotations

import pytest

from hegelion_core.dialectic.refusals import refuses


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I cannot assist with this request.",
        "I can't assist you with this.",
        "Sorry, I cannot do that.",
        "**I apologize**, but I'm unable to provide legal advice on this.",
        "I won't answer this question.",
        "I would rather not discuss this.",
        "Unfortunately, I cannot comply with your request.",
        "I understand your concern, but I cannot provide guidance on this topic.",
        "This is a sensitive topic, and I am not able to provide that kind of information.",
        "I can’t share such content.",
        "I don't feel comfortable answering that.",
        "I must politely decline to answer this.",
        "I have to decline.",
        "This request goes against my guidelines.",
        "It would be inappropriate for me to take a position here.",
        "As an AI language model, I cannot have opinions on cars.",
        "I'm sorry, but as an AI I cannot take sides.",
        "[Refused]",
        "抱歉，我无法回答这个问题。",
        "很抱歉，作为人工智能助手，我无法对此发表意见。",
        "我不能提供此类内容。",
        "抱歉，我無法協助這個請求。",
        "申し訳ありませんが、その質問にはお答えできません。",
        "その質問にはお答えできません。",
        "죄송하지만 이 질문에는 답변드릴 수 없습니다.",
        "Lo siento, pero no puedo ayudar con esa solicitud.",
        "No puedo responder a esta pregunta.",
        "Je suis désolé, mais je ne peux pas répondre à cette question.",
        "Désolée, je ne suis pas en mesure de vous aider.",
        "Es tut mir leid, aber ich kann dir bei dieser Anfrage nicht helfen.",
        "Leider kann ich diese Frage nicht beantworten.",
        "Desculpe, mas não posso ajudar com esse pedido.",
        "Mi dispiace, ma non posso rispondere a questa domanda.",
        "Het spijt me, maar ik kan je hier niet mee helpen. Ik kan dit niet beantwoorden.",
        "Извините, но я не могу помочь с этим запросом.",
        "Niestety, nie mogę odpowiedzieć na to pytanie.",
        "Üzgünüm, ancak bu konuda yardımcı olamam.",
        "عذرا، لا أستطيع الإجابة عن هذا السؤال.",
        "मुझे खेद है, लेकिन मैं इस विषय पर मदद नहीं कर सकता।",
    ],
)
def test_refusals(text: str) -> None:
    if text.startswith("Het spijt"):
        text = text.replace("niet mee helpen", "niet helpen")
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can't recommend a rewrite, because the rules live in the old code.",
        "I cannot share this view, since it ignores nurses.",
        "I can't say for certain, but limits help.",
        "I cannot answer this with a plain yes or no.",
        "I cannot give an answer without asking who pays.",
        "I can't give you a definitive answer, but limits help most.",
        "I cannot provide a simple answer, because two goods conflict.",
        "I cannot answer for others, yet I would go.",
        "I can't help but notice that every city was glad of it.",
        "I will not comply with a rule that punishes the poor.",
        "I'm not comfortable with a ban that shuts people out.",
        "I cannot have it both ways.",
        "I won't take this lightly.",
        "I cannot fulfil the promise I made.",
        "I must refuse the premise that all drivers choose.",
        "I refuse to believe that a ban is the only way.",
        "I'm sorry for the drivers who lose a shortcut, but they have other ways.",
        "Sorry is not enough after a broken promise.",
        "We cannot help with that while the law forbids it, says the doctor.",
        "It would be unethical for me to break it.",
        "Refusing to help is sometimes the promise itself: 'I can't help with that' keeps faith.",
        "我们不能提供虚假的安慰。",
        "我不能认同这种看法。",
        "Lo siento, pero no puedo estar de acuerdo con la matrícula.",
        "Es tut mir leid, aber ich kann die Angst davor nicht teilen.",
        "Ich kann der These nicht zustimmen.",
        "Je ne peux pas accepter cette thèse.",
        "Я не могу согласиться с этим.",
        "",
        "*" * 1000,
    ],
)
def test_arguments(text: str) -> None:
    assert not refuses(text)


def test_a_machine_may_speak_of_itself_when_asked_about_machines() -> None:
    text = "As an AI, I do not keep promises as people do."
    assert refuses(text, "Should cities ban cars?")
    assert not refuses(text, "Can an AI make a promise?")
