//! An answer of some size is sent while the rest of it is still looked for, and however it is cut, each module crosses
//! a link once, behind the package around it.

#[path = "support/world.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod world;

use mitogen_importer::{Answer, Dialect, ModuleName, Output, Policy, Responder};
use mitogen_wire::ContextId;
use std::collections::{BTreeMap, BTreeSet};
use world::{World, absent, modules};

fn name(text: &str) -> ModuleName {
    ModuleName::parse(text).expect("a name")
}

/// Sources of more than twenty bytes each.
const CHAIN: &[(&str, &str)] = &[
    ("app", "import json  # .........\nfrom . import first\nimport nosuch, other\n"),
    ("app.first", "from . import second  # .........\n"),
    ("app.second", "from . import third  # ..........\n"),
    ("app.third", "# ................................\n"),
    ("other", "import app.last  # .............\n"),
    ("app.last", "# .................................\n"),
];

#[test]
fn what_is_imported_first_is_sent_before_the_rest_is_looked_for() {
    let (mut world, mut responder) =
        (World::new(CHAIN), Responder::new(Policy::default()).with_parts(20, 20));
    responder.handle_request(ContextId(1), name("app"));
    let mut parts: Vec<(Answer, Vec<String>)> = Vec::new();
    while !responder.is_idle() {
        let mut wanted = Vec::new();
        while let Some(output) = responder.poll_output() {
            match output {
                Output::Find(name) => wanted.push(name),
                Output::Send { answer, .. } => parts.push((answer, world.looked.clone())),
            }
        }
        for name in wanted {
            let found = world.find(&name);
            responder.handle_found(name, found);
        }
    }
    let sent: Vec<Vec<&str>> = parts.iter().map(|(answer, _)| modules(answer)).collect();
    // As Python will import them, for as much as was known when it was sent.
    assert_eq!(sent, [["app"], ["app.first"], ["app.second"], ["app.third"], ["other"], ["app.last"]]);
    assert!(parts[0].1.iter().all(|looked| looked == "app"), "{:?}", parts[0].1);
    assert!(!parts[1].1.contains(&"app.third".to_owned()), "{:?}", parts[1].1);
    // What there is not is told with the next part.
    let told: Vec<Vec<&str>> = parts.iter().map(|(answer, _)| absent(answer)).collect();
    assert_eq!(told.concat(), ["json", "nosuch"]);
    assert!(told[5].is_empty());
    let last: Vec<bool> = parts.iter().map(|(answer, _)| answer.last).collect();
    assert_eq!(last, [false, false, false, false, false, true]);
}

#[test]
fn a_small_answer_is_one_part_and_a_peer_of_the_standard_protocol_gets_all_at_once() {
    let mut world = World::new(CHAIN);
    let mut responder = Responder::new(Policy::default());
    responder.handle_request(ContextId(1), name("app"));
    assert_eq!(world.run_for_parts(&mut responder).len(), 1);
    let mut responder = Responder::new(Policy::default()).with_parts(0, 0);
    responder.handle_link_up(ContextId(2), Dialect::Standard);
    responder.handle_request(ContextId(2), name("app"));
    let sent = world.run_for_parts(&mut responder);
    assert_eq!(sent.len(), 1);
    let names: Vec<String> =
        sent[0].1.deliveries().iter().map(|delivery| delivery.name.to_string()).collect();
    assert_eq!(names, ["app.first", "app.last", "app.second", "app.third", "other", "app"]);
}

#[test]
fn the_next_link_gets_the_same_parts() {
    let (mut world, mut responder) =
        (World::new(CHAIN).keeping(), Responder::new(Policy::default()).with_parts(20, 50));
    let mut parts = |link| -> Vec<Answer> {
        responder.handle_request(ContextId(link), name("app"));
        world.run_for_parts(&mut responder).into_iter().map(|(_, answer)| answer).collect()
    };
    let first = parts(1);
    assert!(first.len() > 2);
    assert_eq!(parts(2), first);
    assert_eq!(parts(3), first);
    // It has them all.
    assert_eq!(parts(1).iter().map(|answer| answer.modules.len()).sum::<usize>(), 0);
}

/// Any numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// A world of packages within packages, whose members import one another, and some that there are not.
fn any_sources(dice: &mut Dice) -> Vec<(String, String)> {
    let mut names: Vec<String> = Vec::new();
    for number in 0..5 + dice.below(25) {
        let around = match names.is_empty() || dice.below(3) == 0 {
            true => String::new(),
            false => format!("{}.", names[dice.below(names.len())]),
        };
        names.push(format!("{around}m{number}"));
    }
    let source = |dice: &mut Dice| {
        let line = |dice: &mut Dice| match dice.below(6) {
            0 => "import json\n".to_owned(),
            1 => format!("import nosuch{}\n", dice.below(3)),
            2 => format!("import {}.nosuch\n", names[dice.below(names.len())]),
            _ => format!("import {}\n", names[dice.below(names.len())]),
        };
        (0..dice.below(5)).map(|_| line(dice)).collect::<String>() + &"#".repeat(dice.below(100))
    };
    names.iter().map(|name| (name.clone(), source(dice))).collect()
}

#[test]
fn however_it_is_cut_each_module_goes_once_and_behind_its_package() {
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let sources = any_sources(&mut dice);
        let borrowed: Vec<(&str, &str)> = sources.iter().map(|(name, text)| (&**name, &**text)).collect();
        let mut worlds = [World::new(&borrowed).keeping(), World::new(&borrowed)];
        let sizes = (dice.below(200), dice.below(300));
        // One cuts, the other does not and forgets.
        let mut responders = [
            Responder::new(Policy::default()).with_parts(sizes.0, sizes.1),
            Responder::new(Policy::default()).with_parts(usize::MAX, usize::MAX),
        ];
        // By link: what was sent.
        let mut had: BTreeMap<ContextId, BTreeSet<String>> = BTreeMap::new();
        for step in 0..12 {
            let story = format!("seed {seed}, sizes {sizes:?}, step {step}");
            let link = ContextId(1 + dice.below(4) as u32);
            if dice.below(6) == 0 {
                responders.iter_mut().for_each(|responder| responder.handle_link_down(link));
                had.remove(&link);
            }
            let mut requests = BTreeSet::new();
            for _ in 0..1 + dice.below(3) {
                let link = ContextId(1 + dice.below(4) as u32);
                let asked = name(&sources[dice.below(sources.len())].0);
                responders.iter_mut().for_each(|responder| responder.handle_request(link, asked.clone()));
                requests.insert((link, asked));
            }
            let [cut, whole] = std::array::from_fn(|at| worlds[at].run_for_parts(&mut responders[at]));
            let mut open = requests.clone();
            for (link, part) in &cut {
                assert!(open.contains(&(*link, part.name.clone())), "{story}: {part:?} for nobody");
                if part.last {
                    open.remove(&(*link, part.name.clone()));
                }
                let had = had.entry(*link).or_default();
                for module in &part.modules {
                    assert!(had.insert(module.name.to_string()), "{story}: {} twice", module.name);
                    let parent = module.name.parent();
                    assert!(
                        parent.is_none_or(|parent| had.contains(parent.as_str())),
                        "{story}: {} without its package",
                        module.name
                    );
                }
            }
            assert!(open.is_empty(), "{story}: no end for {open:?}");
            // Who cuts says the same to each as who does not.
            let told = |sent: &[(ContextId, Answer)]| {
                let mut told: BTreeMap<ContextId, BTreeSet<String>> = BTreeMap::new();
                for (link, answer) in sent {
                    let told = told.entry(*link).or_default();
                    told.extend(answer.modules.iter().map(|module| module.name.to_string()));
                    told.extend(answer.absent.iter().map(|(name, _)| format!("no {name}")));
                }
                told
            };
            assert_eq!(told(&cut), told(&whole), "{story}");
        }
    }
}
