use super::*;

#[test]
fn every_task_runs_once() {
    for count in [1, 2, 3] {
        let threads = Threads::new(count).unwrap();
        assert_eq!(threads.count(), count);
        let mut done = vec![Vec::new(); count];
        threads.install(|| for_each(&mut done, 100, |mine: &mut Vec<usize>, index| mine.push(index)));
        let mut all: Vec<usize> = done.into_iter().flatten().collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}
