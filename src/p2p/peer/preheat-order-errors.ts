import { codedError } from '../../base/errors.ts';

export const PreheatQueueFull = codedError('PREHEAT_QUEUE_FULL', {
  message: (p: { most: number }) => `${p.most} orders wait at this proxy already`,
  todo: 'order it again when some are done; fewer images at the same time are no slower',
});

export const PreheatTooLate = codedError('PREHEAT_TIMEOUT', {
  message: (p: { seconds: number }) => `it was not done within ${p.seconds} s`,
  todo: 'order it again, what has come is kept; with a longer time (--timeout) where the image is large or the way is slow',
});

export const PreheatStopped = codedError('PREHEAT_STOPPED', {
  message: () => 'the proxy stopped before it was done',
  todo: 'nothing: it is ordered again when the proxy is back',
});
