// A program that uses one library: started with its task in the environment, it says line by line what it did.
// `version V`, `did WORDS`, `visit URL` (answered by the address that the person came back to), `enter CODE URL` (what a
// device shows, answered once the person has allowed it), `access_token T`, `id_token T`; a verifier reads tokens and answers `accepted SUBJECT` or `refused REASON`.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export class Program {
  constructor([command, ...args], env) {
    const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('ENTREE_'));
    this.child = spawn(command, args, { env: { ...Object.fromEntries(inherited), ...env }, stdio: 'pipe' });
    this.child.stdin.on('error', () => {});
    this.errors = '';
    this.child.stderr.on('data', (chunk) => { this.errors += chunk; });
    this.ended = new Promise((done) => this.child.on('error', (error) => { this.errors += error; done(-1); }).on('close', done));
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    // One that signs its own assertions waits a minute after a start of the service.
    this.timer = setTimeout(() => { this.errors += '\nnot done within 150 s'; this.child.kill('SIGKILL'); }, 150_000);
  }

  say(line) {
    this.child.stdin.write(`${line}\n`);
  }

  // The next line as [first word, the rest], or undefined at the end.
  async nextLine() {
    const { value, done } = await this.lines.next();
    return done ? undefined : value.split(/ (.*)/s).slice(0, 2);
  }

  async end() {
    this.child.stdin.end();
    const code = await this.ended;
    clearTimeout(this.timer);
    if (code !== 0) throw new Error(this.errors.trim() || `ended with ${code}`);
  }

  // Everything it says until it ends. `answer` gives the address that a person comes back to, `enter` what they do with
  // the code of a device.
  async run(answer, enter) {
    const said = { version: '', did: [] };
    for (let line = await this.nextLine(); line; line = await this.nextLine()) {
      const [what, words] = line;
      if (what === 'visit') await answer(words).then((url) => this.say(url), (error) => this.fail(error));
      else if (what === 'enter') await enter(...words.split(' ')).then((url) => this.say(url), (error) => this.fail(error));
      else if (what === 'did') said.did.push(words);
      else if (['version', 'access_token', 'id_token'].includes(what)) said[what] = words;
    }
    await this.end();
    return said;
  }

  fail(error) {
    this.errors += `${error.message}\n`;
    this.child.kill('SIGKILL');
  }
}
