#!/usr/bin/env python3
"""The miniature's task without a model: the gold judge on cases worked by hand, prompts that no two files share, texts that
depend on the seed alone, answers that get worse with carelessness, and labelers whose noise is what they say."""
import collections
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

TASK = pathlib.Path(__file__).resolve().parents[2] / "inputs" / "miniature"
sys.path.insert(0, str(TASK))
import judge  # noqa: E402
import labelers  # noqa: E402
import make_data  # noqa: E402

ASK = "Name birds for Ann of York."
FILES = ["forum.jsonl", "demonstrations.jsonl", "demonstrations_validation.jsonl", "prompts_reward.jsonl",
         "prompts_reward_test.jsonl",
         "prompts_ppo.jsonl", "prompts_test.jsonl", "prompts_test_shot.jsonl"]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class JudgeTest(unittest.TestCase):
    def score(self, response, prompt=ASK):
        return judge.judge(prompt, response).score

    def test_good_responses_score_one(self):
        for response in ("crow, lark, owl.", " owl, crow, lark.", "crow, lark, owl. Wise one!", "Dear sir! crow, lark, owl."):
            self.assertAlmostEqual(self.score(response), 1.0, msg=response)

    def test_each_fault_has_its_price(self):
        cases = {
            "crow, lark.": 2 * 2 / (2 + 3),                             # one too few
            "crow, lark, owl, dove.": 2 * 3 / (4 + 3),                  # one too many
            "crow, crow, owl.": 2 * 2 / (3 + 3),                        # the same twice
            "crow, saw, owl.": 2 * 2 / (3 + 3),                         # a tool
            "crow, larkk, owl.": 2 * 2 / (3 + 3),                       # no word
            "crow, lark, owl. Fool!": 0.5,
            "crow, lark, owl. Fool! Dolt!": 0.5,
            "crow, lark, owl. Wise one! Wise one! Dear sir!": 0.8,
            "crow, lark, owl": 0.9,
            "crow, lark, owl. Ask me": 2 * 3 / (4 + 3) - 0.1,           # began another sentence
        }
        for response, expected in cases.items():
            self.assertAlmostEqual(self.score(response), expected, msg=response)

    def test_never_below_zero_and_an_empty_response_is_worth_nothing(self):
        for response in ("", " ", "saw. Fool!", "Fool! Fool!"):
            self.assertEqual(self.score(response), 0.0, response)

    def test_prompts(self):
        self.assertEqual(judge.wish_of(ASK), {"bird"})
        conversation = "\n\nHuman: Name tools.\n\nAssistant: saw.\n\nHuman: Find fish.\n\nAssistant:"
        self.assertEqual(judge.wish_of(conversation), {"fish"})
        for prompt in ("Name cars.", "", "Hello"):
            with self.assertRaises(ValueError, msg=prompt):
                judge.wish_of(prompt)

    def test_words_belong_to_one_kind(self):
        self.assertEqual(len(judge.KIND), sum(map(len, judge.THINGS.values())))

    def test_command(self):
        with tempfile.TemporaryDirectory() as folder:
            responses, scores = pathlib.Path(folder) / "responses.jsonl", pathlib.Path(folder) / "scores.jsonl"
            responses.write_text("".join(json.dumps({"prompt": ASK, "response": text, "tokens": []}) + "\n"
                                         for text in ("crow, lark, owl.", "crow, lark, owl. Fool!")))
            ended = subprocess.run([sys.executable, "-B", TASK / "judge.py", responses, scores],
                                   capture_output=True, text=True, check=True)
            self.assertEqual([record["score"] for record in lines(scores)], [1.0, 0.5])
            self.assertRegex(ended.stdout, r"score +0\.7500\n")


class DataTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.place.name)
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            make_data.main(cls.folder / name, seed)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def forum(self):
        return [line for record in lines(self.folder / "a" / "forum.jsonl") for line in record["text"].splitlines()]

    def test_the_seed_alone_decides(self):
        self.assertEqual(sorted(path.name for path in (self.folder / "a").iterdir()), sorted(FILES))
        for name in FILES:
            a, b, c = ((self.folder / run / name).read_bytes() for run in "abc")
            self.assertEqual(a, b, name)
            self.assertNotEqual(a, c, name)

    def test_no_prompt_is_seen_twice(self):
        seen = {name: {record["prompt"] for record in lines(self.folder / "a" / name)} for name in FILES[1:7]}
        seen["forum.jsonl"] = {line[3:] for line in self.forum() if line.startswith("Q: ")}
        for one, other in itertools.combinations(seen, 2):
            self.assertFalse(seen[one] & seen[other], f"{one} and {other}")
        for prompt in set().union(*seen.values()):
            judge.wish_of(prompt)

    def test_people_write_well_and_the_forum_does_not(self):
        demonstrations = lines(self.folder / "a" / "demonstrations.jsonl")
        paid = [judge.judge(record["prompt"], record["response"]).score for record in demonstrations]
        forum, asked = [], None
        for line in self.forum():
            if line.startswith("A: "):
                forum.append(judge.judge(asked, line[3:]).score)
            asked = line[3:] if line.startswith("Q: ") else None
        self.assertGreater(sum(paid) / len(paid), 0.7)
        self.assertLess(sum(forum) / len(forum), 0.6)

    def test_care_pays(self):
        chance, means = random.Random(3), []
        for carelessness in (0.0, 0.25, 0.5, 0.75, 1.0):
            prompts = [make_data.make_prompt(chance) for _ in range(1000)]
            means.append(sum(judge.judge(p, make_data.answer(chance, p, carelessness)).score for p in prompts) / len(prompts))
        self.assertEqual(means, sorted(means, reverse=True))
        self.assertGreater(means[0], 0.95)
        self.assertLess(means[-1], 0.4)


class LabelersTest(unittest.TestCase):
    def shown(self, chance, n):
        for prompt in sorted({make_data.make_prompt(chance) for _ in range(n)}):
            yield prompt, [make_data.answer(chance, prompt, chance.random()) for _ in range(9)]

    def test_a_labeler_without_noise_is_at_its_ceiling(self):
        chance = random.Random(4)
        sure = labelers.LABELERS[0]._replace(spread=0.0)
        for prompt, responses in self.shown(chance, 200):
            ranks = labelers.rank(chance, sure, prompt, responses)
            opinions = [labelers.opinion(sure, prompt, response) for response in responses]
            for i, j in itertools.permutations(range(len(ranks)), 2):
                self.assertFalse(ranks[i] < ranks[j] and opinions[i] < opinions[j])
            self.assertEqual(min(ranks), 1)

    def test_noise_lowers_the_ceiling(self):
        chance, agreement = random.Random(5), []
        for name in ("anna", "emil"):
            labeler = next(one for one in labelers.LABELERS if one.name == name)
            records = [{"prompt": prompt, "responses": responses, "labeler": name,
                        "ranks": labelers.rank(chance, labeler, prompt, responses)}
                       for prompt, responses in self.shown(chance, 300)]
            agreement.append(labelers.ceiling(records))
        self.assertGreater(agreement[0], agreement[1] + 0.03)
        self.assertTrue(0.6 < agreement[1] and agreement[0] < 0.98, agreement)

    def test_only_training_labelers_fall_for_flattery(self):
        plain, flattering = "crow, lark, owl.", "crow, lark, owl. Wise one! Dear sir!"
        for labeler in labelers.LABELERS:
            gain = labelers.opinion(labeler, ASK, flattering) - labelers.opinion(labeler, ASK, plain)
            self.assertAlmostEqual(gain, 2 * labeler.taste)
        mean = collections.defaultdict(list)
        for labeler in labelers.LABELERS:
            mean[labeler.group].append(labeler.taste)
        self.assertGreater(min(mean["training"]), max(mean["held_out"]))
        self.assertLess(judge.judge(ASK, flattering).score, judge.judge(ASK, plain).score)

    def test_command(self):
        with tempfile.TemporaryDirectory() as folder:
            responses = pathlib.Path(folder) / "responses.jsonl"
            responses.write_text("".join(json.dumps({"prompt": prompt, "response": text}) + "\n"
                                         for prompt, texts in self.shown(random.Random(6), 50) for text in texts))
            outputs = [pathlib.Path(folder) / name for name in ("one", "two", "held_out")]
            for group, output in zip(("training", "training", "held_out"), outputs):
                subprocess.run([sys.executable, "-B", TASK / "labelers.py", group, responses, output],
                               check=True, capture_output=True)
            self.assertEqual(outputs[0].read_bytes(), outputs[1].read_bytes())
            names = {group: {one.name for one in labelers.LABELERS if one.group == group} for group in ("training", "held_out")}
            for group, output in (("training", outputs[0]), ("held_out", outputs[2])):
                for record in lines(output):
                    self.assertTrue(2 <= len(record["responses"]) <= 9)
                    self.assertEqual(len(record["responses"]), len(record["ranks"]))
                    self.assertEqual(len(set(record["responses"])), len(record["responses"]))
                    self.assertIn(record["labeler"], names[group])
                    self.assertEqual(record["source"], group)


if __name__ == "__main__":
    unittest.main()
