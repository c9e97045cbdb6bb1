"""How people ask for the same thing: many ways, put together at random.

With sixteen ways to ask for a fact, a model learns these sixteen sentences: asked in
other words, it did not find what it knew (docs/lab_log.md). So a question has a
beginning, a core and an end, each drawn apart, and the cores are of many shapes. Those
that the test uses are none of them (tasks/held_out).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gptlite.tasks.words import pick


@dataclass(frozen=True, slots=True)
class Phrasings:
    """openers, cores (with {} for what is asked about) and closers; half of the
    questions are a core alone, and a tenth are written without care."""

    openers: tuple[str, ...]
    cores: tuple[str, ...]
    closers: tuple[str, ...]

    def ask(self, about: str, rng: np.random.Generator) -> str:
        """A question about something.

        >>> ways = Phrasings(("Hi! ",), ("what is {}?",), (" Thanks.",))
        >>> [ways.ask("Rome", np.random.default_rng(i)) for i in (1, 10, 25)]
        ['What is Rome?', 'Hi! What is Rome? Thanks.', 'what is Rome']
        """
        u = rng.random(6).tolist()
        core = pick(self.cores, u[0])
        if u[1] < 0.1:
            return core.rstrip(" .?!").format(about)
        core = core[0].upper() + core[1:]
        opener = pick(self.openers, u[2]) if u[3] < 0.3 else ""
        closer = pick(self.closers, u[4]) if u[5] < 0.3 else ""
        return opener + core.format(about) + closer


FACTS = {
    "en": Phrasings(
        ("Hi! ", "Hello. ", "Hey, ", "Well. ", "So: ", "Sorry. ", "Excuse me. ",
         "Quick question. ", "A question: ", "One more: ", "Next one. ", "OK. ",
         "I am curious. ", "For school: ", "My friend asks: ", "You know a lot. "),
        ("what is {}?", "who is {}?", "who or what is {}?", "what's {}?", "who's {}?",
         "who was {}?", "what was {}?", "what are {}?", "{}?", "{}", "{}, what is it?",
         "{}: what is that?", "{}, who is that?", "define {}.", "describe {}.",
         "tell me what {} is.", "tell me who {} is.", "tell me about {}.",
         "tell me something about {}.", "do you know {}?", "do you know what {} is?",
         "have you heard of {}?", "what do you know about {}?", "what does {} mean?",
         "what kind of thing is {}?", "in one line, what is {}?", "say what {} is.",
         "I have never heard of {}. What is it?", "I read about {}. What is it?",
         "can you define {}?", "can you describe {}?", "could you describe {}?",
         "could you tell me about {}?", "would you tell me who {} is?",
         "may I ask what {} is?", "I wonder what {} is.", "I need to know about {}.",
         "I would like to learn about {}.", "explain what {} is.", "the word {}?",
         "explain to me who {} was.", "remind me what {} is.", "what about {}?",
         "what should I know about {}?", "my book mentions {}. What is that?",
         "somebody said {}. What did they mean?", "help me: what is {}?",
         "a line on {}.", "a few words about {}.", "information on {}.",
         "what would you call {}?", "how would you describe {}?",
         "show me what you know of {}.", "let us talk about {}. What is it?"),
        (" Thanks.", " Thank you!", " Please.", " Be brief.", " In a few words.",
         " I forgot.", " I need it for school.", " Just one line.", " Any idea?",
         " Quickly!", " I am not sure.", " Do you know?"),
    ),
    "fr": Phrasings(
        ("Bonjour. ", "Salut ! ", "Pardon. ", "Bon. ", "Alors : ", "Une question : ",
         "Encore une : ", "Dis-moi : ", "Pour l'école : ", "Un ami demande : ",
         "Je suis curieux. ", "D'accord. ", "Excuse-moi. "),
        ("qu'est-ce que {} ?", "qui est {} ?", "qui ou qu'est-ce que {} ?",
         "c'est quoi, {} ?", "c'est qui, {} ?", "{}, c'est quoi ?", "{} : qu'est-ce ?",
         "{}, qui est-ce ?", "qui était {} ?", "qu'était {} ?", "définis {}.",
         "décris {}.", "dis-moi ce qu'est {}.", "dis-moi qui est {}.",
         "connais-tu {} ?", "que sais-tu sur {} ?", "que sais-tu de {} ?",
         "en une ligne, qu'est-ce que {} ?", "as-tu entendu parler de {} ?",
         "je ne connais pas {}. Qu'est-ce que c'est ?", "que veut dire {} ?",
         "j'ai lu quelque chose sur {}. Qu'est-ce que c'est ?", "parle-moi de {}.",
         "dis quelque chose sur {}.", "peux-tu définir {} ?", "peux-tu décrire {} ?",
         "pourrais-tu parler de {} ?", "sais-tu ce qu'est {} ?",
         "sais-tu qui est {} ?", "je me demande ce qu'est {}.",
         "je voudrais apprendre ce qu'est {}.", "rappelle-moi ce qu'est {}.",
         "quelques mots sur {}.", "une ligne sur {}.", "informations sur {}.",
         "mon livre parle de {}. Qu'est-ce ?", "comment décrirais-tu {} ?",
         "aide-moi : qu'est-ce que {} ?", "et {} ?", "que faut-il savoir sur {} ?"),
        (" Merci.", " Merci !", " S'il te plaît.", " En quelques mots.",
         " J'ai oublié.", " C'est pour l'école.", " En une ligne.", " Une idée ?",
         " Vite !", " Le sais-tu ?"),
    ),
}  # fmt: skip

# from English into French, and from French, asked in French, into English
TRANSLATE = {
    "en": Phrasings(
        ("Hi! ", "Hello. ", "Hey, ", "So: ", "Sorry. ", "Excuse me. ", "A question: ",
         "Next one. ", "One more: ", "OK. ", "For school: ", "I learn French. "),
        ("translate into French: {}", "translate {} into French.", "{} in French?",
         "translate {}.", "how do you say {} in French?", "what is {} in French?",
         "say {} in French.", "what is the French for {}?", "in French: {}",
         "put {} into French.", "French for {}?", "the French for {}?",
         "I need this in French: {}", "how do the French say {}?",
         "what do the French call {}?", "which French word means {}?",
         "what would {} be in French?", "can you say {} in French?",
         "could you put {} into French?", "do you know {} in French?",
         "I want to say {} in French.", "turn {} into French.", "{}, in French.",
         "write {} in French.", "tell me the French word for {}.",
         "how is {} said in French?", "my French is bad: what is {}?"),
        (" Thanks.", " Thank you!", " Please.", " I forgot.", " Just the word.",
         " I need it for school.", " Any idea?", " Quickly!"),
    ),
    "fr": Phrasings(
        ("Bonjour. ", "Salut ! ", "Pardon. ", "Alors : ", "Une question : ",
         "Encore une : ", "Pour l'école : ", "J'apprends l'anglais. ", "Bon. "),
        ("traduis en anglais : {}", "traduis {} en anglais.", "{} en anglais ?",
         "traduis {}.", "comment dit-on {} en anglais ?",
         "qu'est-ce que {} en anglais ?", "dis {} en anglais.", "en anglais : {}",
         "mets {} en anglais.", "quel est l'anglais de {} ?",
         "il me faut ceci en anglais : {}", "comment les Anglais disent-ils {} ?",
         "quel mot anglais veut dire {} ?", "que serait {} en anglais ?",
         "sais-tu dire {} en anglais ?", "pourrais-tu dire {} en anglais ?",
         "écris {} en anglais.", "{}, en anglais.", "je veux dire {} en anglais.",
         "le mot anglais pour {} ?", "comment se dit {} en anglais ?"),
        (" Merci.", " Merci !", " S'il te plaît.", " J'ai oublié.", " Une idée ?",
         " Seulement le mot.", " C'est pour l'école."),
    ),
}  # fmt: skip
