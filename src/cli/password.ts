import { hashPassword, MAX_PASSWORD_BYTES } from '../base/password-hash.ts';
import { isUserName, USER_NAME_FORMAT } from '../base/user-name.ts';
import { PasswordNotTaken } from './errors.ts';
import type { ProcessPort } from './process-port.ts';

/** Asks for a password, or reads it from standard input, and prints the line of the users file (`proxy.usersFile`) for it. */
export async function runPassword(name: string, port: ProcessPort): Promise<void> {
  if (!isUserName(name))
    throw new PasswordNotTaken({ why: 'that is no name for a user', todo: `use ${USER_NAME_FORMAT}` });
  const { text, isTyped } = await port.readSecret(`Password for ${name}: `);
  const once = 'give it on standard input, or type it';
  if (text === '') throw new PasswordNotTaken({ why: 'the password is empty', todo: once });
  if (Buffer.byteLength(text) > MAX_PASSWORD_BYTES) {
    throw new PasswordNotTaken({
      why: `the password has more than ${MAX_PASSWORD_BYTES} bytes`,
      todo: 'use a shorter one',
    });
  }
  if (isTyped && (await port.readSecret('The same again: ')).text !== text) {
    throw new PasswordNotTaken({ why: 'the two were not the same', todo: 'type it twice' });
  }
  port.print(`${name}:${await hashPassword(text)}\n`);
}
