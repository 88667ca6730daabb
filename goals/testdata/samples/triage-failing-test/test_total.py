import unittest

from total import total


class Total(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(total([{"n": 2}, {"n": 3}]), 5)
