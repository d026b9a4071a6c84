//! A file of variables: every text has a meaning, and what is written out is read back.

use lowmem_serve::config::fuzzing::env_file;

pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (variables, nonsense) = env_file(&text, |_| None);
    let lines = 1 + text.matches(['\n', '\r']).count();
    assert!(nonsense.iter().all(|line| (1..=lines).contains(line)));
    assert!(nonsense.is_sorted());
    for (place, (name, _)) in variables.iter().enumerate() {
        assert!(!variables[..place].iter().any(|(other, _)| other == name));
    }
    // Quoted, a value comes back as it is, unless it refers to others or has another line end.
    let mut written = String::new();
    let mut expected = Vec::new();
    for (number, (_, value)) in variables.iter().enumerate() {
        if !value.contains("${") && !value.contains('\r') {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            written += &format!("NAME_{number} = '{quoted}' # {number}\n");
            expected.push((format!("NAME_{number}"), value.clone()));
        }
    }
    assert_eq!(env_file(&written, |_| None), (expected, Vec::new()));
}
