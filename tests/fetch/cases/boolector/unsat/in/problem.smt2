; The average without overflow equals the average in one bit more: no counterexample.
(set-logic QF_BV)
(declare-const a (_ BitVec 32))
(declare-const b (_ BitVec 32))
(define-fun quick () (_ BitVec 32) (bvadd (bvand a b) (bvlshr (bvxor a b) (_ bv1 32))))
(define-fun exact () (_ BitVec 33)
  (bvlshr (bvadd ((_ zero_extend 1) a) ((_ zero_extend 1) b)) (_ bv1 33)))
(assert (distinct ((_ zero_extend 1) quick) exact))
(check-sat)
