"""The signs by which ``arguable.judge`` tells prompts apart: what each is, what it weighs, and why.

Phrases are in lower case, with ``|`` between them, and stand for themselves: spaces at their ends are word boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)  # a sign is itself alone, and hashed as such: fast
class Sign:
    """A sign for or against; it counts once however often it is found.

    Attributes:
        slug: its stable name, for people and for counting.
        weight: what it adds to the score; ``arguable.THRESHOLD`` is the measure.
        why: the reason for which it counts.
        opens: phrases with which a sentence begins.
        holds: phrases anywhere in the prompt.
        asks: phrases within a question.
        only_asked: ``opens`` counts in questions only.
    """

    slug: str
    weight: float
    why: str
    opens: str = ""
    holds: str = ""
    asks: str = ""
    only_asked: bool = False


YES_NO = Sign(
    "yes_no_question",
    0.5,
    "a claim to affirm or deny, though a short one is mostly a matter of fact",
    opens="is |are |was |were |does |do |did |can |could |would |will |may |might |has |have |isn't |aren't "
    "|doesn't |don't |kann |können |ist |sind |est-ce |peut-on |es |puede |pueden ",
    asks="吗",
    only_asked=True,
)
WHY = Sign(
    "asks_why",
    0.5,
    "causes are disputed more often than facts are",
    opens="why |warum |pourquoi |por qué |weshalb ",
    asks="为什么",
    only_asked=True,
)
LONG_QUESTION = Sign("long_question", 0.5, "a question with conditions of its own, which a bare fact rarely needs")
BARE_OPTIONS = Sign("bare_options", 0.5, "a question that is nothing but its options (X or Y for Z?)")
CASE = Sign(
    "asks_about_a_case", 0.5, "a few sentences tell of a case, and a claim about it is to be affirmed or denied"
)
MANY_NUMBERS = Sign("many_numbers", -2, "a sum, a table or a measurement")

_FOR = (
    Sign(
        "should_question",
        2,
        "what ought to be done is a matter of judgement",
        opens="should |ought |must |shall we ",
        asks=" should | ought | oughtn't | must | sollte | sollten | soll | darf | faut-il | devrait | devrions "
        "| doit-on | debería | deberían | debe |应该|应不应该|该不该|应当|是否应",
        only_asked=True,
    ),
    YES_NO,
    WHY,
    Sign(
        "asks_under_a_condition",
        1,
        "a claim is to be affirmed or denied for a case that the sentence tells first",
        asks=", is |, are |, does |, do |, can |, would |, could |, may |, has |, have ",
    ),
    Sign(
        "weighs_options",
        0.5,
        "two ways stand beside each other",
        asks=" or | oder | ou | o |还是",
    ),
    Sign(
        "sets_against",
        1,
        "two ways are set against each other in so many words",
        asks=" rather than | instead of | at the expense of | as much as |哪个更",
        holds=" vs | vs. | versus | compare and contrast | tension between | weigh ",
    ),
    Sign(
        "asks_for_a_value",
        1,
        "better, fair or worth is not read off the world",
        asks=" better| worse| best | best?| worth| fair | fair?| fairer| fairly| unfair| right to | the right "
        "| right?| wrong| justif| moral| immoral| ethic| wise | wise?| wiser| wisdom| sensible| reasonable"
        "| responsib| acceptable| duty| owe | owed| deserve| too much| too far| too many| too long| enough "
        "| enough?| more important| matters more| harm| good for | good way| overrated| hypocri| rude | obliged"
        "| obligation| legitimate| permissible| compatible| ever | really | truly | evil| virtue| excuse"
        "| necessary | besser| moralisch| gerecht| mieux | meilleur| mejor | justo|更好|更适合|合理|道德",
    ),
    Sign(
        "asks_for_an_opinion",
        3,
        "the prompt itself asks for a side",
        holds=" do you think| your opinion| your view| your stance| your thoughts| your take | do you agree"
        "| agree or disagree| do you believe| change my mind| convince me| do you make of | honest opinion"
        "| who's right| who is right| deine meinung| meinst du| pensez-vous| penses-tu| votre avis| ton avis"
        "| qué opinas| qué piensas| tu opinión|看法|你怎么看|你认为|你觉得",
    ),
    Sign(
        "asks_for_both_sides",
        3,
        "the prompt itself asks for what speaks for and against",
        opens="draft the case |make the case |debate|argue both ",
        holds=" pros and cons| pros & cons| advantages and | benefits and d| benefits and r| drawbacks"
        "| disadvantages| both sides| arguments for| arguments against| argument for| argument against"
        "| case for | case against | trade-off| tradeoff| debate over | debate about | ethical implications"
        "| ethical consider| ethical issues| opposing view| counterargument| outweigh| nachteile| avantages et "
        "| ventajas y |利弊|优缺点|好处和",
    ),
    Sign(
        "weighs_a_claim",
        2,
        "a claim is to be tested",
        opens="evaluate |assess |critically |critique |discuss |argue |analyze the |analyse the "
        "|compare and contrast |to what extent |explore |weigh |examine |justify |defend |challenge "
        "|explain why some |explain both |write a balanced |write a critical |write a critique "
        "|write an argumentative |write a persuasive essay |write an essay on whether ",
        holds=" the claim that | is it true that | it is often said| some people say| some say| the idea that "
        "| critically | to what extent | and say which | and judge ",
    ),
    Sign(
        "seeks_advice",
        2,
        "someone has to decide and could decide otherwise",
        opens="what should |what ought |what would you do|what would you advise|what would you recommend"
        "|what would you keep|what would you choose|how do i decide|how do we decide|how do i know when"
        "|how can i tell whether|how do i tell",
        holds=" should i | should we | ought i | ought we | you advise| help me decide| help me think| i decide"
        "| we decide| would you recommend| and recommend | recommend a path| right thing to do| would you do "
        "| would you keep| would you spend| do i tell ",
    ),
    Sign("asks_for_reasons", 1, "a choice is to be defended", holds=" and why?| and why.| why or why not| begründe "),
    Sign(
        "asks_how_to_judge",
        2,
        "a way to judge or to act is asked for, not a procedure",
        opens="how should |how far should |how important |how ethical |how reliable |how valid |how fair "
        "|how can we |how can a |how can society |how can governments |how can companies |how could |how might "
        "|how would |how do we |how do you weigh |how much should |how serious |how much of |how justified "
        "|wie sollte |wie soll ",
        only_asked=True,
    ),
    Sign(
        "asks_for_effects",
        1,
        "effects are weighed, seldom looked up",
        opens="what impact |what effect |what would happen |what would be the |what are the implications "
        "|what are the consequences |what role |what if |in what way|how has the rise ",
        asks=" affect| influenc| impact| shaped | changed ",
        only_asked=True,
    ),
    Sign(
        "asks_what_matters",
        1.5,
        "the answer depends on what one holds to be important",
        opens="what makes |what is wrong |what's wrong |what lessons|what does it mean |what is the point "
        "|what's the point |what could |what might |what are the limits |what's more |what is more "
        "|what is the best |what's the best |what are the strongest |what is the strongest |what factors "
        "|what strategy |what, if |what do critics |what principle |what can we |what do we "
        "|what is the biggest |what is the greatest |what is the meaning of life|what policy |which matters "
        "|which is the greater |which is nearer |which is better |which is the better |which is wiser "
        "|which does |which path |which duty |which way |which form |which policy |which would |which should "
        "|which one and |who has the best |who has the better |who was the better |who is the better "
        "|who is to blame |whose |who decides ",
        only_asked=True,
    ),
    Sign(
        "asks_for_a_line",
        1,
        "where one thing turns into another is a matter of judgement",
        opens="when does |when do |when is |when should |at what point |under which |under what |where does "
        "|where should |who should |who ought |when are |when can |when may ",
        only_asked=True,
    ),
    Sign(
        "debated_topic",
        0.5,
        "a field in which people disagree; too weak to decide alone",
        holds=" democra| capitalis| socialis| moral| ethic| justice| freedom| liberty| privacy| rights | religio"
        "| climate | inequality| immigra| policy | policies | tax | artificial intelligence| conscious"
        "| free will| society| art | war | technology| culture| friendship| happiness| government| republic "
        "| empire | revolution | nations| states | poverty| gender| reform| education| algorithm| economy|民主"
        "|社会|教育",
    ),
)

_AGAINST = (
    Sign(
        "translation",
        -6,
        "a translation has no other side, whatever the sentence says",
        opens="translate ",
        holds=" translate | translate:| translation of | english translation| french translation"
        "| a translation to | translated to | into english| into french| into german| into spanish| in arabic:"
        "| in hindi:| to hindi:| how do you say | english:| übersetz| traduis| traduisez| traduce | traduzca"
        "| traduz|翻译|翻譯",
    ),
    Sign(
        "labelled_fields",
        -6,
        "fields with labels are a form to be filled in",
        holds=" premise:| hypothesis:| passage:| paragraph:| context:| answer:| output:| input:| label:"
        "| options:| question:| sentence:| sentence 1| review:| tweet:| text:| article:| summary:| a:| q:"
        "| statement:| facts:| title:| student:| solution:| conclusion:| dialogue:| answer choices| response:"
        "| story:| comment:| event:| schema:| choices:|[q]:",
    ),
    Sign(
        "task_preamble",
        -6,
        "the words of annotators and of instruction sets",
        holds=" in this task| you are given| you're given| you will be given| you'll be given| you will be shown"
        "| given the following| given a | given an | your task is| your job is| see one example"
        "| detailed instructions| keeping in mind the above| answer the following| following question"
        "| question about| i am going to give you| step-by-step reasoning| let's think step| my first command"
        "| my first sentence",
    ),
    Sign(
        "refers_to_material",
        -3,
        "the answer is in what was handed over, or in the words of the question",
        opens="is this |are these two |are the questions ",
        holds=" the following| following text| this text| the text | text below| below article| the passage"
        "| the paragraph| this paragraph| the article| this article| this sentence| the sentence| sentences"
        "| the above | based on the|according to the text| this email| this review| the review| the dialogue"
        '| this list| the list | the given | the question "| the questions | can we conclude| can we draw '
        "| can we infer | same thing?| duplicate| valid answer| an answer to | news article| piece of news"
        "| the process?| sentiment| label |下列|下面|这段|这句",
    ),
    Sign(
        "multiple_choice",
        -5,
        "one of the given answers is right",
        holds=" (a) | a) | a. | (1) | 1) | option 1| the options| multiple choice| multiple-choice"
        "| true or false| yes or no|(yes/no)| odd one out| answer yes| pick the | pick one| choose the "
        "| choose from | select the | fill in the | ____| with the letter| one word",
    ),
    Sign(
        "holds_code",
        -6,
        "code is pasted",
        holds="```| def |();|) {|){| == |#include|</|/>|<?php| select * | traceback |console.log|print("
        "| import numpy| public class| public static| return n| for x in | => ",
    ),
    Sign(
        "asks_for_code",
        -5,
        "a program works or doesn't",
        holds=" python function| python script| python program| python class| python code| function that"
        "| function to | function which| a function | function in | a program | program in | program to "
        "| bash script| shell script| script that| script to | script in | script which| r script| sql query"
        "| to sql| in sql| regex| regular expression| unit test| in python| in java| in c++| in c#| in c "
        "| in typescript| in rust| in go | using python| using html| html | css| react component| dataframe"
        "| linked list| array of| an array| algorithm to | rest api| dockerfile| terraform| vba | arduino| c# "
        "| c++ | macro | chrome extension| flexbox| upsert| kubernetes manifest| list comprehension| in excel"
        "| google sheets|代码|函数|程序| fonction python| java-klasse| programa en ",
    ),
    Sign(
        "asks_for_a_text",
        -4,
        "a text or a thing of a set form is to be made",
        opens="write |compose |draft |craft |continue |create |generate |build |design |develop |make |come up "
        "|produce |rap |schreib|rédige|écris |escribe |redacta |headline |implement |outline a |prepare "
        "|construct |structure ",
        holds=" haiku| limerick| sonnet| poem | poem.| short story| bedtime story| cover letter| blog post about"
        "| product description| lyrics| screenplay| fan fiction|写一|写个|请写|编写|创作",
    ),
    Sign(
        "transforms_a_text",
        -4,
        "what is given is put into another form",
        opens="summarize|summarise|paraphrase|rewrite |rephrase |reword |correct |fix |edit |convert |turn "
        "|change all |change the |replace |remove |shorten|condense |combine |transform |format |put "
        "|improve the |extract |identify |find |sort |arrange |rank |order |reverse |classify |categorize "
        "|label |determine |decide if |decide whether |indicate |group |complete |fill |finish |pull |fasse "
        "|reformule |résume|resume |tell whether |tell which |add |refactor |debug |match |choose |pick |select "
        "|simplify |read |use |repeat |return |organize |highlight ",
        holds=" tl;dr| summary of | title for|总结|概括|改写|大意| sum up",
    ),
    Sign(
        "plays_a_role",
        -5,
        "a part is to be played",
        opens="act as |act on |pretend |roleplay|role-play|simulate |imagine you are |imagine that you are "
        "|let's play |you are a |you are an |you're a |you are the |you're the |from now on |you are dan"
        "|remember that ",
        holds=" act as a| i want you to act| stay in character| roleplay",
    ),
    Sign(
        "asks_for_a_sum",
        -4,
        "there is one right number",
        opens="calculate |compute |solve |evaluate the integral|find the |how many |what is the probability"
        "|add up |prove |round ",
        holds=" how many | the derivative| equation| integral of| determinant of| eigenvalue"
        "| what is the probability| perimeter| x = | x + | + 2| * | average speed|计算|多少|几个| wie viele"
        "| cuántos| combien ",
    ),
    Sign(
        "asks_for_a_measure",
        -2,
        "a measurement can be looked up",
        opens="how long |how tall |how far is |how old |how big |how fast |how far did |how high |how deep "
        "|what time |what year |in which year |in what year |what percentage |how much is |how much does "
        "|how much did |how often |what's heavier ",
        holds=" larger city| by population| fahrenheit| celsius| km/h| mph",
    ),
    Sign(
        "asks_to_be_told",
        -2,
        "a fact, an account or a procedure is to be told",
        opens="who |when did |when was |when were |where is |where was |where are |where did |where can "
        "|where do |which |what |wie heißt |wer |wo |quelle |quel |cuál |dónde |qui |how do i |how to "
        "|how can i |how do you |how is |how are |cómo se |explain |describe |define |list |name |give |provide "
        "|suggest |tell |show |brainstorm |state |what is the difference |what is the meaning of |recommend "
        "|plan |answer |what happens |teach |introduce |elaborate |share |mention |do you know |compare "
        "|outline |include |let me know ",
        holds="是哪|是什么|谁是|哪一|怎么做",
    ),
    Sign(
        "asks_how_it_works",
        -0.5,
        "how something works is mostly known",
        opens="how does |how do |how did |how can |what steps |what's the correct way ",
    ),
    Sign(
        "asks_for_a_plan",
        -2,
        "a plan or a procedure works or doesn't",
        holds=" step-by-step| recipe for| recipe that| a recipe | itinerary| meal plan| lesson plan| study plan"
        "|步骤|制定| timetable",
    ),
)

SIGNS: tuple[Sign, ...] = (*_FOR, LONG_QUESTION, BARE_OPTIONS, CASE, *_AGAINST, MANY_NUMBERS)
"""All of them; slugs and phrases are distinct."""
