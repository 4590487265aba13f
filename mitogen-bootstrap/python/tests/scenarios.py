"""Stories that a crate's machine and the agent's are both held to: texts in the crate's tests, each statement followed by what comes of it."""
import os
import re

import harness

CRATES = os.path.dirname(os.path.dirname(harness.ROOT))


def replay(case, crate, least, outcomes, stage):
    """Plays the crate's scenarios, of which there are at least so many, on a new `stage()` each. A statement's outcomes are the lines that begin with one of these words; `stage.lines` gathers what came of it."""
    place = os.path.join(CRATES, crate, 'tests', 'scenarios')
    if not os.path.isdir(place):
        case.skipTest('%s is not here' % crate)
    names = sorted(name for name in os.listdir(place) if name.endswith('.txt'))
    case.assertTrue(len(names) >= least, names)
    for name in names:
        with open(os.path.join(place, name)) as f:
            lines = [(number + 1, line.strip()) for number, line in enumerate(f)]
        lines = [(number, line) for number, line in lines if line and line[0] != '#']
        play = stage()
        while lines:
            number, line = lines.pop(0)
            expected = []
            while lines and re.match('(%s) ' % '|'.join(outcomes), lines[0][1]):
                expected.append(lines.pop(0)[1])
            play.lines = []
            play.play(line)
            case.assertEqual(sorted(map(str, play.lines)), sorted(map(str, expected)), '%s, line %d: %s' % (name, number, line))
