//! sandbox.
fn main() {
    let instance = sandbox::Instance::start(sandbox::Environment::KymaDefault);
    match instance { Ok(i) => { sandbox::report(&format!("{:?} {}", i.run_dir(), i.kubeconfig().display())); std::thread::sleep(std::time::Duration::from_secs(20)); } Err(e) => sandbox::report(&e.to_string()) }
}
