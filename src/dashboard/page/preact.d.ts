/* Preact's own module, under the name by which the supernode serves it: a browser knows no packages. */
export { Fragment, h, render, type ComponentChildren, type JSX } from 'preact';
